"""`flanpyctl drain` on real hosts: the lease goes and stays away, what runs is told, --undo brings all back."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from integration.etcd.api import ETCD_PREFIX
from integration.lab import Host, Lab, flanpyctl, unreached
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import keys, own_key, owned, route_to
from tests.lab.overlay import assert_settled, eventually, never

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DEADLINE_S = 30.0


def _ctl(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return host.run(*flanpyctl(), *words, check=False)


def _status(host: Host) -> dict[str, Any]:
    """Empty while no daemon answers."""
    found: dict[str, Any] = json.loads(_ctl(host, "status", "-o", "json").stdout or "{}")
    return found


def _phase(host: Host) -> str:
    return str(_status(host).get("phase"))


def _findings(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(_ctl(host, "doctor", "-o", "json").stdout)["findings"]
    return found


def _ailing(host: Host) -> list[str]:
    """Return the conditions that doctor holds for trouble."""
    return [one["condition"] for one in _findings(host) if one["severity"] != "note"]


def _undone(lab: Lab, host: Host) -> None:
    done = _ctl(host, "drain", "--undo")
    assert (done.returncode, done.stderr) == (0, "")
    host.daemon.wait_ready()
    eventually(lambda: not unreached(lab.containers), "everyone reaches everyone", deadline=DEADLINE_S)
    assert_settled(lab)


def test_drain_is_refused_while_something_runs_on_the_subnet_and_names_it(lab: Lab) -> None:
    host = lab.hosts[0]
    container = host.attach_container()
    key = own_key(lab, host)
    for words in (("drain",), ("drain", "--wait", "--timeout", "1")):
        done = _ctl(host, *words)
        assert done.returncode == 7, done
        assert container.port in done.stdout
        assert key.replace("-", "/") in done.stdout
        assert "--force" in done.stderr
    assert own_key(lab, host) == key
    assert _status(host)["ready"]


def test_drain_waits_for_what_runs_there_and_then_peers_let_go(lab: Lab) -> None:
    host, peer = lab.hosts[:2]
    key = own_key(lab, host)
    assert route_to(peer, key)
    waiting = subprocess.Popen(
        ["ip", "netns", "exec", host.namespace, *flanpyctl(), "drain", "--wait", "--timeout", "120"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **host.daemon.environment},
    )
    try:
        assert waiting.stdout is not None
        assert "still on" in waiting.stdout.readline()
        assert own_key(lab, host) == key
        for container in host.containers:
            host.ip(f"link set {container.port} down")
        said, _ = waiting.communicate(timeout=120)
    finally:
        waiting.kill()
    assert waiting.returncode == 0, said
    assert "was given back" in said
    assert owned(lab, host) is None
    eventually(lambda: not route_to(peer, key), "the peer lets go", deadline=DEADLINE_S)
    for container in host.containers:
        host.ip(f"link set {container.port} up")
    _undone(lab, host)
    assert own_key(lab, host) == key, "the same subnet, for nobody took it"


def test_drained_host_says_so_everywhere_and_stays_out_over_restarts(lab: Lab) -> None:
    host = lab.hosts[0]
    key = own_key(lab, host)
    assert _ctl(host, "drain", "--force").returncode == 0
    eventually(lambda: _phase(host) == "DRAINED", lambda: str(_status(host)), deadline=DEADLINE_S)
    said = _status(host)
    assert (said["ready"], said["own"]) == (False, None)
    first = said["conditions"][0]
    assert (first["type"], first["reason"]) == ("LeaseValid", "Drained")
    assert "drain --undo" in first["cure"]
    eventually(lambda: _ailing(host) == ["LeaseValid"], lambda: _ailing(host), deadline=DEADLINE_S)
    assert "drained" in _findings(host)[0]["title"]
    again = _ctl(host, "drain")
    assert (again.returncode, "drained already" in again.stdout) == (0, True), again

    host.daemon.kill()
    host.daemon.launch()
    eventually(lambda: _phase(host) == "DRAINED", host.daemon.log_tail, deadline=DEADLINE_S)
    never(lambda: owned(lab, host), "a lease came back", seconds=1.0)
    assert not (host.daemon.state_dir / "lease.json").exists()
    assert key not in keys(lab)
    _undone(lab, host)
    assert own_key(lab, host) == key
    assert _ctl(host, "drain", "--undo").stdout == "this host takes part already\n"


def test_drain_with_cleanup_leaves_nothing_of_ours_and_undo_brings_all_back(lab: Lab) -> None:
    host = lab.hosts[0]
    cleanup = ("drain", "--force", "--cleanup", f"--subnet-file={host.daemon.subnet_path}")
    done = _ctl(host, *cleanup)
    assert done.returncode == 0, done
    assert "ip link del flannel.1" in done.stdout

    def stripped() -> bool:
        rules = host.run("nft", "list", "ruleset").stdout + host.run("iptables-save", check=False).stdout
        return (
            not host.has_link("flannel.1") and "FLANPY" not in rules and not host.daemon.subnet_path.exists()
        )

    assert stripped()
    never(lambda: not stripped(), "the idle daemon put something back", seconds=2.0)
    assert _ctl(host, *cleanup).returncode == 0, "once more is fine"
    _undone(lab, host)


def test_drain_changes_nothing_while_etcd_is_away(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    lab.configure()
    lab.start_daemons()
    host = lab.hosts[0]
    key = own_key(lab, host)
    member = lab.etcd.members[0]
    member.freeze()
    try:
        done = _ctl(host, "drain")
    finally:
        member.thaw()
    assert done.returncode != 0
    assert "nothing was drained" in done.stderr
    eventually(lambda: _phase(host) == "READY", lambda: str(_status(host)), deadline=DEADLINE_S)
    assert own_key(lab, host) == key
    assert not (host.daemon.state_dir / "drained.json").exists()
    host.daemon.restart()
    assert own_key(lab, host) == key

    mark = host.daemon.state_dir / "drained.json"
    mark.mkdir()  # cannot be written
    refused = _ctl(host, "drain")
    assert (refused.returncode, "drained.json" in refused.stderr) == (1, True), refused
    assert own_key(lab, host) == key


def test_reservation_stays_reserved_when_its_host_is_drained(lab: Lab) -> None:
    host, peer = lab.hosts[:2]
    key = own_key(lab, host)
    subnet = key.replace("-", "/")
    assert _ctl(host, "subnets", "pin", subnet).returncode == 0
    try:
        done = _ctl(host, "drain", "--force")
        assert (done.returncode, "stays reserved" in done.stdout) == (0, True), done
        eventually(lambda: not route_to(peer, key), "the peer lets go", deadline=DEADLINE_S)
        entry = owned(lab, host)
        assert entry is not None
        assert (entry.key.endswith(key), entry.lease) == (True, 0)
        _undone(lab, host)
        assert own_key(lab, host) == key
    finally:
        _ctl(host, "subnets", "unpin", subnet)


def test_drained_host_gives_its_subnet_to_others_and_takes_another_one_when_it_is_back(
    build_lab: BuildLab,
) -> None:
    lab = build_lab(2)
    lab.configure({"Network": "10.50.0.0/16", "SubnetMin": "10.50.1.0", "SubnetMax": "10.50.2.0",
                   "Backend": {"Type": "vxlan"}})  # fmt: skip
    first, second = lab.hosts
    first.daemon.up()
    other = next(one for one in ("10.50.1.0-24", "10.50.2.0-24") if one != own_key(lab, first))
    mine = own_key(lab, first)
    lab.etcd.api.put(f"{ETCD_PREFIX}/subnets/{other}", json.dumps({"PublicIP": "10.99.77.1"}))
    second.daemon.launch()
    eventually(lambda: second.daemon.answers("/healthz"), second.daemon.log_tail, deadline=DEADLINE_S)
    assert _ctl(first, "drain", "--cleanup").returncode == 0
    second.daemon.wait_ready()
    assert own_key(lab, second) == mine, "the freed subnet is the other's now"
    lab.etcd.api.delete(f"{ETCD_PREFIX}/subnets/{other}")
    assert _ctl(first, "drain", "--undo").returncode == 0
    first.daemon.wait_ready()
    assert own_key(lab, first) == other
    assert_settled(lab)


def test_drain_without_a_daemon_names_the_socket_and_what_to_do_instead(build_lab: BuildLab) -> None:
    host = build_lab(1).hosts[0]
    for words in (("drain",), ("drain", "--undo")):
        done = _ctl(host, *words)
        assert done.returncode == 3, done
        assert "flanpyd.sock" in done.stderr
    assert "cleanup --release" in _ctl(host, "drain").stderr
    assert _ctl(host, "drain", "--undo", "--force").returncode == 2


def test_udp_host_is_drained_with_its_forwarder(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure(backend="udp")
    lab.start_daemons("--udp-plane=user")
    lab.attach_containers()
    host = lab.hosts[0]
    eventually(lambda: not unreached(lab.containers), "everyone reaches everyone", deadline=DEADLINE_S)
    done = _ctl(host, "drain", "--force", "--cleanup")
    assert done.returncode == 0, done
    never(lambda: host.has_link("flannel0"), "the device came back", seconds=2.0)
    assert _ctl(host, "drain", "--undo").returncode == 0
    host.daemon.wait_ready()
    eventually(lambda: not unreached(lab.containers), "everyone reaches everyone", deadline=DEADLINE_S)
