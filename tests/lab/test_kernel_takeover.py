"""Taking over what flannel left, saying what would change, and leaving a host as it was found."""

from __future__ import annotations

import json

import pytest

from integration.lab import ETCD_PREFIX, NETWORK, Host, Lab, Stream, flanpyctl, unreached, wait_until
from integration.net.namespaces import sysctl
from tests.lab.busy_side import beside_the_overlay
from tests.lab.conftest import BuildLab
from tests.lab.overlay import (
    add_decoys,
    assert_settled,
    eventually,
    foreign_state,
    leases,
    standing,
    wrongs,
)

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DAY_S = 86_400


def _flannel_host(lab: Lab, host: Host, number: int) -> str:
    """Make the host what flanneld leaves: subnet.env, a lease by public IP, an unmarked device with a random MAC."""
    subnet = f"10.50.{number}.0"
    host.ip(
        f"link add flannel.1 type vxlan id 1 local {host.address} dev eth0 dstport 8472 nolearning",
        "link set flannel.1 mtu 1450",
        f"addr add {subnet}/32 dev flannel.1",
        "link set flannel.1 up",
    )
    mac = str(host.ip_json("link", "show", "dev", "flannel.1")[0]["address"])
    value = {
        "PublicIP": host.address,
        "PublicIPv6": None,
        "BackendType": "vxlan",
        "BackendData": {"VNI": 1, "VtepMAC": mac},
    }
    lease = lab.etcd.api.grant(DAY_S)
    lab.etcd.api.put(f"{ETCD_PREFIX}/subnets/{subnet}-24", json.dumps(value), lease=lease)
    host.daemon.subnet_path.write_text(
        f"FLANNEL_NETWORK={NETWORK}\nFLANNEL_SUBNET=10.50.{number}.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
    )
    return mac


def _flannel_peer(host: Host, number: int, mac: str, address: str) -> None:
    """A peer as flanneld programs it: its routes have no protocol of its own (boot)."""
    host.ip(
        f"neigh replace 10.50.{number}.0 lladdr {mac} dev flannel.1 nud permanent",
        f"route replace 10.50.{number}.0/24 via 10.50.{number}.0 dev flannel.1 onlink",
    )
    host.run("bridge", "fdb", "replace", mac, "dev", "flannel.1", "dst", address, "self", "permanent")


def test_p17_host_is_taken_over_from_flannel_in_place_under_a_stream(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    one, two = lab.hosts
    macs = [_flannel_host(lab, host, number) for number, host in ((21, one), (22, two))]
    _flannel_peer(one, 22, macs[1], two.address)
    _flannel_peer(two, 21, macs[0], one.address)
    lab.attach_containers()
    wait_until(lambda: unreached(lab.containers) == (), "flannel's way works", deadline=5)
    add_decoys(one)
    decoys = foreign_state(one)
    indices = [host.ip_json("link", "show", "dev", "flannel.1")[0]["ifindex"] for host in lab.hosts]

    with Stream(one.containers[0], two.containers[0]) as stream, beside_the_overlay(one, two) as control:
        stream.wait_flowing()
        control.wait_flowing()
        stream.mark()
        control.mark()
        for host in lab.hosts:  # one after the other, as one migrates: a mixed cluster in between
            host.daemon.up()
            assert unreached(lab.containers) == ()
        assert_settled(lab)
        gap, stood_still = stream.longest_gap_ms, control.longest_gap_ms
        report = stream.stop()

    assert report.whole
    assert gap < 1000 + stood_still
    assert {name: (lease.subnet, lease.mac) for name, lease in leases(lab).items()} == {
        "h1": ("10.50.21.0/24", macs[0]),
        "h2": ("10.50.22.0/24", macs[1]),
    }
    assert [host.ip_json("link", "show", "dev", "flannel.1")[0]["ifindex"] for host in lab.hosts] == indices
    assert foreign_state(one) == decoys


def test_p17_stale_entries_that_flannel_left_are_cleaned_after_the_listing(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure()
    (host,) = lab.hosts
    _flannel_host(lab, host, 21)
    for number in range(30, 36):
        _flannel_peer(host, number, f"02:99:00:00:00:{number}", f"10.99.5.{number}")
    host.daemon.up()
    assert_settled(lab)
    assert not [line for line in standing(lab, host) if line.startswith("route")]


def test_p15_nothing_is_deleted_while_etcd_cannot_be_asked(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure()
    (host,) = lab.hosts
    _flannel_host(lab, host, 21)
    _flannel_peer(host, 30, "02:99:00:00:00:30", "10.99.5.30")
    before = standing(lab, host)
    lab.etcd.freeze()
    host.daemon.launch()
    eventually(lambda: host.daemon.answers("/healthz"), "the daemon answers", deadline=15)
    eventually(lambda: "underlay_chosen" in host.daemon.log_text(), "the daemon is about its work")
    lab_silent = standing_without_etcd(host)
    lab.etcd.thaw()
    assert lab_silent == {line for line in before if line.startswith(("neigh", "fdb", "route"))}
    assert_settled(lab, deadline=15)


def standing_without_etcd(host: Host) -> set[str]:
    """Entries on flannel.1, without a look at etcd."""
    neighbours = host.ip_json("neigh", "show", "dev", "flannel.1", "nud", "permanent")
    fdb = host.bridge_json("fdb", "show", "dev", "flannel.1")
    routes = host.ip_json("-4", "-d", "route", "show", "dev", "flannel.1")
    return {
        *(f"neigh flannel.1 {n['dst']} lladdr {n['lladdr']}" for n in neighbours),
        *(f"fdb flannel.1 {f['mac']} dst {f['dst']}" for f in fdb),
        *(f"route {r['dst']} via {r['gateway']} dev flannel.1 proto {r['protocol']} onlink" for r in routes),
    }


def test_diff_of_a_healthy_host_is_empty_and_names_what_the_next_pass_would_do(lab: Lab) -> None:
    for host in lab.hosts:
        eventually(lambda host=host: _differs(host) == (True, [], [], ""), lambda host=host: _differs(host))  # type: ignore[misc]
        assert host.run(*flanpyctl(), "diff").stdout.strip() == "# nothing to change"


def _differs(host: Host) -> tuple[bool, list[str], list[str], str]:
    said = json.loads(host.run(*flanpyctl(), "diff", "-o", "json").stdout)
    return said["trusted"], said["lines"], said["conflicts"], said["held"]


def test_cleanup_removes_exactly_what_is_ours_and_leaves_the_host_as_it_was(build_lab: BuildLab) -> None:
    """Two things stay on purpose: `ip_forward` once it is on, which others (Docker) may rely on by then, and
    the lease."""
    lab = build_lab(2)
    lab.configure()
    host = lab.hosts[1]
    host.run("sh", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
    add_decoys(host)
    before = foreign_state(host)
    lab.start_daemons()
    assert_settled(lab)
    host.ip("link set flannel.1 down")
    assert_settled(lab)

    refused = host.run(*flanpyctl(), "cleanup", "--yes", *_files(host), check=False)
    assert refused.returncode == 7, refused.stderr
    assert_settled(lab)

    host.daemon.stop()
    stood = standing(lab, host)
    assert len(stood) == 5
    done = host.run(*flanpyctl(), "cleanup", "--yes", *_files(host))
    assert "removed" in done.stdout
    assert standing(lab, host) == set()
    assert not host.has_link("flannel.1")
    assert foreign_state(host) == before
    assert not host.daemon.subnet_path.exists()
    assert sysctl(host.namespace, "net/ipv4/ip_forward") == "0"  # there was nothing to forward for
    assert (
        host.run(*flanpyctl(), "cleanup", "--yes", *_files(host)).stdout.strip() == "nothing of ours is here"
    )

    subnet = leases(lab)["h2"].subnet
    host.daemon.up()
    assert_settled(lab)
    assert leases(lab)["h2"].subnet == subnet
    eventually(lambda: not wrongs(lab, host), lambda: wrongs(lab, host))

    host.attach_container()
    eventually(lambda: sysctl(host.namespace, "net/ipv4/ip_forward") == "1", lambda: "forwarding is off")
    host.daemon.stop()
    host.run(*flanpyctl(), "cleanup", "--yes", *_files(host))
    assert sysctl(host.namespace, "net/ipv4/ip_forward") == "1"


def _files(host: Host) -> tuple[str, ...]:
    return (f"--subnet-file={host.daemon.subnet_path}",)


def test_p17_sigterm_leaves_everything_standing_and_a_start_changes_nothing(lab: Lab) -> None:
    one, two, _ = lab.hosts
    before = standing(lab, two)
    index = two.ip_json("link", "show", "dev", "flannel.1")[0]["ifindex"]
    with Stream(one.containers[0], two.containers[0]) as stream:
        stream.wait_flowing()
        two.daemon.stop()
        assert standing(lab, two) == before
        stream.wait_flowing()
        two.daemon.up()
        assert stream.stop().whole
    assert standing(lab, two) == before
    assert two.ip_json("link", "show", "dev", "flannel.1")[0]["ifindex"] == index
