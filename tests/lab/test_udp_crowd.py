"""The udp backend with many peers, and on hosts that differ."""

from __future__ import annotations

import json

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, flanpyctl, simulated_peers, transfer, unreached
from tests.lab.conftest import BuildLab
from tests.lab.overlay import assert_settled, eventually, metric
from tests.lab.udp_side import data_plane, filters, forwarders

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

CROWD = 1000


def _start(lab: Lab, *planes: str) -> None:
    lab.configure({"Network": "10.48.0.0/13"} if not planes else {"Network": NETWORK})
    for host, plane in zip(lab.hosts, planes or ("auto",) * len(lab.hosts), strict=True):
        host.daemon.launch(
            f"--udp-plane={plane}", "--probe=false"
        )  # no neighbour entries for a thousand hosts
    for host in lab.hosts:
        host.daemon.wait_ready()
    lab.attach_containers()
    assert_settled(lab, deadline=30)


def _differing(host: Host) -> list[str]:
    found: list[str] = json.loads(host.run(*flanpyctl(), "diff", "-o", "json", check=False).stdout)["lines"]
    return found


def _reach_each_other(lab: Lab) -> None:
    """Wait until they do: the tunnel's table is in no kernel table that a settled host is judged by."""
    eventually(lambda: unreached(lab.containers) == (), lambda: unreached(lab.containers), deadline=30)


def _rows(host: Host) -> int:
    return len(json.loads((host.daemon.run_dir / "tunnel.json").read_bytes()))


def test_thousand_peers_are_in_the_table_and_go_again_while_a_stream_passes(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _start(lab)
    one, two = lab.hosts
    peers = simulated_peers(CROWD, network="10.48.0.0/13", first=600)
    pairs = [
        (
            f"{ETCD_PREFIX}/subnets/{peer.key}",
            json.dumps({"PublicIP": str(peer.public_ip), "PublicIPv6": None}),
        )
        for peer in peers
    ]
    lease = lab.etcd.api.grant(86_400)
    lab.etcd.api.put_all(pairs, lease=lease)
    for host in lab.hosts:
        eventually(
            lambda host=host: metric(host, "flanpy_peers", state="programmed") == CROWD + 1,  # type: ignore[misc]
            f"{host.name} has all peers",
            deadline=60,
        )
        eventually(lambda host=host: _rows(host) == CROWD + 1, f"{host.name} has its file")  # type: ignore[misc]
    report = transfer(one.containers[0], two.containers[0], seconds=1.0)
    assert report.whole
    assert report.received_bytes > 100_000
    eventually(lambda: _differing(one) == [], lambda: _differing(one))
    lab.etcd.api.revoke(lease)
    for host in lab.hosts:
        eventually(lambda host=host: _rows(host) == 1, f"{host.name} has one peer left", deadline=60)  # type: ignore[misc]
    _reach_each_other(lab)


def test_move_to_another_backend_leaves_nothing_of_the_tunnel(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _start(lab, "auto", "auto")
    _reach_each_other(lab)
    lab.configure(backend="vxlan")
    for host in lab.hosts:
        eventually(lambda host=host: not host.has_link("flannel0"), "the device is gone", deadline=60)  # type: ignore[misc]
        eventually(lambda host=host: forwarders(host) == [], "the process is gone", deadline=30)  # type: ignore[misc]
        eventually(lambda host=host: filters(host) == {}, "the filters are gone", deadline=30)  # type: ignore[misc]
        assert not (host.daemon.run_dir / "tunnel.json").exists() or _rows(host) == 0
    assert_settled(lab, deadline=60)
    _reach_each_other(lab)


def test_hosts_of_different_planes_reach_each_other(build_lab: BuildLab) -> None:
    lab = build_lab(3)
    _start(lab, "auto", "user", "auto")
    assert data_plane(lab.hosts[1]).startswith("user space")
    _reach_each_other(lab)
    one, two, three = lab.containers
    for source, target in ((one, two), (two, one), (one, three)):
        report = transfer(source, target, seconds=1.0)
        assert report.whole
        assert report.received_bytes > 100_000


def test_host_without_the_right_to_load_ebpf_says_so_and_carries_in_user_space(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure({"Network": NETWORK})
    one, two = lab.hosts
    bound = ("setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", "--")
    one.daemon.launch(argv=[*bound, *one.daemon.program.argv])
    two.daemon.launch()
    for host in lab.hosts:
        host.daemon.wait_ready()
    lab.attach_containers()
    assert_settled(lab, deadline=30)
    assert data_plane(one).startswith("user space: ")
    assert "CAP_BPF" in data_plane(one)
    assert filters(one) == {}
    _reach_each_other(lab)


def test_filters_that_were_removed_are_attached_again(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    _start(lab, "kernel", "kernel")
    two = lab.hosts[1]
    before = filters(two)
    assert len(before) == 2
    for link in ("flannel0", "eth0"):
        two.run("tc", "qdisc", "del", "dev", link, "clsact")
        eventually(lambda: filters(two) == before, lambda: filters(two), deadline=30)
    _reach_each_other(lab)
