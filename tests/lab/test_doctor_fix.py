"""`doctor --fix` on real hosts: every command that a finding offers is run, and then the finding is gone and it works.

What flanpyd itself puts right within a moment is offered only where no daemon runs, or none that heals: there the
daemon is stopped, and where doctor needs its word, that is served again as it was said before.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flanpy.cli.base.control import Control
from flanpy.doctor.gather import DOCUMENTS
from integration.faults.catalogue import inject
from integration.faults.objects import offload
from integration.faults.records import THRESHOLD
from integration.lab import Host, Lab, flanpyctl, unreached
from integration.net.namespaces import set_sysctls, sysctl
from tests.cli.stand_in import standing_in
from tests.lab.conftest import BuildLab
from tests.lab.filter_side import seen_as, telling
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DEADLINE_S = 30.0
FORWARD = "net/ipv4/ip_forward"
DEVICE, DEVICE6 = "flannel.1", "flannel-v6.1"


def _mac(host: Host) -> str:
    return str(host.ip_json("link", "show", "dev", DEVICE)[0]["address"])


def _doctor(host: Host, *words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    argv = (*flanpyctl(), "doctor", "--subnet-file", str(host.daemon.subnet_path), *words)
    return host.run(*argv, check=False, stdin=said)


def _offered(host: Host) -> dict[str, str]:
    """Return the commands that --fix would run, by problem."""
    found = json.loads(_doctor(host, "-o", "json").stdout)["findings"]
    return {one["id"]: one["fix"] for one in found if one["fix"]}


def _first(host: Host) -> str:
    """Return the problem that is named first."""
    return str(json.loads(_doctor(host, "-o", "json").stdout)["findings"][0]["id"])


def _is_offered(host: Host, problem: str) -> bool:
    return problem in _offered(host)


def _fixed(host: Host, problem: str, command: str) -> None:
    """Run it and be told that the finding is gone; once more finds nothing to do."""
    done = _doctor(host, "--fix", "--yes")
    assert f"+ {command}\n" in done.stdout, done
    assert f"gone: {problem}  " in done.stdout, done
    assert "could not repair" not in done.stderr
    assert problem not in _offered(host)
    again = _doctor(host, "--fix", "--yes")
    assert "there is nothing that --fix may repair" in again.stdout
    assert "\n+ " not in again.stdout


def _all_reached(lab: Lab) -> None:
    eventually(
        lambda: not unreached(lab.containers), lambda: str(unreached(lab.containers)), deadline=DEADLINE_S
    )


@contextmanager
def _without_daemon(host: Host) -> Iterator[None]:
    host.daemon.kill()
    try:
        yield
    finally:
        host.daemon.up()


@contextmanager
def _idle_daemon(host: Host) -> Iterator[None]:
    """A daemon that says what it last said, and heals nothing."""
    said = {name: Control(host.daemon.run_dir).get(name) for name in DOCUMENTS}
    with _without_daemon(host):
        socket = host.daemon.run_dir / "flanpyd.sock"
        socket.unlink(missing_ok=True)
        with standing_in(host.daemon.run_dir) as stand_in:
            stand_in.answers.update(said)
            yield
        socket.unlink(missing_ok=True)


def test_p04_forwarding_is_switched_on_again_after_a_yes_and_only_then(lab: Lab) -> None:
    host = lab.hosts[0]
    _all_reached(lab)
    with _without_daemon(host):
        set_sysctls(host.namespace, {FORWARD: "0"})
        assert unreached(lab.containers, wait=0.3)
        assert _offered(host)["P04"] == "sysctl -w net.ipv4.ip_forward=1"
        for said in ("", "n\n", "what?\n"):
            refused = _doctor(host, "--fix", said=said)
            assert "run 'sysctl -w net.ipv4.ip_forward=1'? [y/N]" in refused.stdout
            assert "left alone: sysctl -w net.ipv4.ip_forward=1" in refused.stdout
            assert sysctl(host.namespace, FORWARD) == "0"
        done = _doctor(host, "--fix", said="y\n")
        assert "gone: P04" in done.stdout, done
        assert done.returncode == 3, "there is still no daemon"
        assert sysctl(host.namespace, FORWARD) == "1"
        assert not unreached(lab.containers)
        set_sysctls(host.namespace, {FORWARD: "0"})
        _fixed(host, "P04", "sysctl -w net.ipv4.ip_forward=1")


def test_p05_filter_of_the_overlay_s_device_is_made_loose(lab: Lab) -> None:
    host = lab.hosts[0]
    with _without_daemon(host):
        set_sysctls(host.namespace, {f"net/ipv4/conf/{DEVICE}/rp_filter": "1"})
        _fixed(host, "P05", "sysctl -w net.ipv4.conf.flannel/1.rp_filter=2")
        assert sysctl(host.namespace, f"net/ipv4/conf/{DEVICE}/rp_filter") == "2"
        _all_reached(lab)


def test_p05_strict_filter_of_the_underlay_that_drops_peers_is_made_loose(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons("--probe-interval=1s")
    lab.attach_containers()
    _all_reached(lab)
    host, peer = lab.hosts
    for one in lab.hosts:
        lab.add_nic(one, segment=7)
    gateway = next(row["local"] for row in peer.ip_json("-4", "addr", "show", "dev", "eth1")[0]["addr_info"])
    set_sysctls(peer.namespace, {"net/ipv4/conf/eth1/rp_filter": "2", "net/ipv4/conf/eth0/rp_filter": "2"})
    set_sysctls(host.namespace, {"net/ipv4/conf/eth0/rp_filter": "1"})
    host.ip(f"route add {peer.address}/32 via {gateway} dev eth1")  # out by one link, in by the other
    eventually(lambda: unreached(lab.containers, wait=0.3), "strict drops", deadline=DEADLINE_S)
    eventually(lambda: _is_offered(host, "P05"), lambda: _doctor(host).stdout, deadline=DEADLINE_S)
    eventually(lambda: _first(host) == "P05", lambda: _doctor(host).stdout, deadline=DEADLINE_S)
    _fixed(host, "P05", "sysctl -w net.ipv4.conf.eth0.rp_filter=2")
    _all_reached(lab)


def test_p07_checksum_offload_is_switched_on(lab: Lab) -> None:
    host = lab.hosts[0]
    with _idle_daemon(host):
        offload(host, switch=False)
        _fixed(host, "P07", f"ethtool -K {DEVICE} tx-checksum-ip-generic on")
        assert offload(host)
        _all_reached(lab)


def test_p12_mac_is_left_to_the_daemon_for_its_neighbours_went_with_it(lab: Lab) -> None:
    host = lab.hosts[0]
    before = _mac(host)
    with _idle_daemon(host):
        host.ip(f"link set {DEVICE} address 02:12:12:12:12:12")
        found = json.loads(_doctor(host, "-o", "json").stdout)["findings"]
        assert (found[0]["id"], found[0]["fix"]) == ("P12", "")
        assert "flanpyd puts it back" in found[0]["cure"]
    assert _mac(host) == before
    _all_reached(lab)


def test_p08_foreign_masquerade_goes_only_after_a_yes_of_a_person(lab: Lab) -> None:
    host, peer = lab.hosts[:2]
    container, other = host.containers[0], peer.containers[0]
    rule = "POSTROUTING -s 10.50.0.0/16 ! -o docker0 -j MASQUERADE"
    host.run("iptables", "-t", "nat", "-S")  # makes the table, if there is none
    with _without_daemon(host), telling(other.namespace):
        host.run("iptables", "-t", "nat", "-I", *rule.split())  # before ours, where no daemon moves them up
        assert seen_as(container.namespace, other.address) != container.address
        command = _offered(host)["P08"]
        assert command.startswith("iptables-nft -t nat -D POSTROUTING -s 10.50.0.0/16"), command
        for words, said in ((("--yes",), ""), ((), "n\n"), ((), "")):
            left = _doctor(host, "--fix", *words, said=said)
            assert "left alone" in left.stdout
            assert "MASQUERADE" in host.run("iptables", "-t", "nat", "-S", "POSTROUTING").stdout
        done = _doctor(host, "--fix", said="y\n" * 3)
        assert "remove a foreign rule with" in done.stdout
        assert "gone: P08" in done.stdout, done
        assert rule not in host.run("iptables", "-t", "nat", "-S", "POSTROUTING").stdout
        assert seen_as(container.namespace, other.address) == container.address


def test_p31_settings_of_the_file_are_put_into_force(build_lab: BuildLab, tmp_path: Path) -> None:
    lab = build_lab(1)
    lab.configure()
    host = lab.hosts[0]
    file = tmp_path / "flanpyd.toml"
    file.write_text('log-level = "info"\n')
    host.daemon.up(f"--config={file}")
    file.write_text('log-level = "debug"\n')

    def offered() -> dict[str, str]:
        found = json.loads(_doctor(host, "-o", "json", f"--config={file}").stdout)["findings"]
        return {one["id"]: one["fix"] for one in found if one["fix"]}

    assert offered() == {"P35": "flanpyctl reload"}
    done = _doctor(host, "--fix", "--yes", f"--config={file}")
    assert "gone: P35" in done.stdout, done
    assert done.returncode == 0
    assert offered() == {}


def test_ipv6_that_is_switched_off_on_our_device_comes_back_by_itself(build_lab: BuildLab) -> None:
    lab = build_lab(2, ipv6=True)
    lab.configure({
        "Network": "10.50.0.0/16", "EnableIPv6": True, "IPv6Network": "fd50:1::/48", "Backend": {"Type": "vxlan"},
    })  # fmt: skip
    lab.start_daemons("--probe-interval=1s")
    host, peer = lab.hosts
    target = next(
        row["local"]
        for row in peer.ip_json("-6", "addr", "show", "dev", DEVICE6)[0]["addr_info"]
        if row["scope"] == "global"
    )
    eventually(lambda: host.ping(target).ok, "IPv6 passes", deadline=DEADLINE_S)
    with inject("ipv6_off", lab):
        eventually(lambda: host.ping(target).ok, "IPv6 passes again", deadline=DEADLINE_S)
    assert not _is_offered(host, "P22")


def test_p20_a_fix_that_cannot_be_done_says_why_and_others_are_done_all_the_same(build_lab: BuildLab) -> None:
    """gc_thresh3 is the machine's: in a namespace it is not to be set."""
    lab = build_lab(1)
    lab.configure(network="10.48.0.0/12")
    host = lab.hosts[0]
    host.daemon.up("--probe=false")
    before = Path("/proc/sys", THRESHOLD).read_text()
    said: dict[str, Any] = {}
    with inject("P20", lab):
        eventually(lambda: _is_offered(host, "P20"), lambda: _doctor(host).stdout, deadline=DEADLINE_S)
        said.update({name: Control(host.daemon.run_dir).get(name) for name in DOCUMENTS})
        host.daemon.kill()
        (host.daemon.run_dir / "flanpyd.sock").unlink(missing_ok=True)
        set_sysctls(host.namespace, {f"net/ipv4/conf/{DEVICE}/rp_filter": "1"})
        with standing_in(host.daemon.run_dir) as stand_in:
            stand_in.answers.update(said)
            done = _doctor(host, "--fix", "--yes")
    assert done.returncode == 1, done
    assert "cannot read sysctl net/ipv4/neigh/default/gc_thresh3" in done.stderr
    assert "this kernel or namespace has no such setting" in done.stderr
    assert "could not repair: sysctl -w net.ipv4.neigh.default.gc_thresh3=" in done.stderr
    assert Path("/proc/sys", THRESHOLD).read_text() == before
