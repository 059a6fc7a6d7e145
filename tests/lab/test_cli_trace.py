"""trace, peers, events, top and diag beside running daemons: what is broken behind their back is named."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl
from tests.lab.conftest import BuildLab
from tests.lab.filter_side import put_docker_rules
from tests.lab.overlay import assert_settled, condition, eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

EVENTUALLY_S = 10.0


def _ctl(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return host.run(*flanpyctl(), *words, check=False)


def _said(host: Host, *words: str) -> Any:
    return json.loads(_ctl(host, *words, "-o", "json").stdout)


def _dies_at(host: Host, *words: str) -> str:
    found = _said(host, "trace", *words)
    return str(found["at"]) if found["verdict"] == "dies" else str(found["verdict"])


def _blames(host: Host, *words: str, at: str) -> None:
    eventually(
        lambda: _dies_at(host, *words) == at, lambda: _ctl(host, "trace", *words), deadline=EVENTUALLY_S
    )


def _passes(host: Host, *words: str) -> None:
    """Not everything may be known yet, but nothing is wrong. Probes need some rounds to say so."""
    well = {"passes", "unknown"}
    eventually(
        lambda: _dies_at(host, *words) in well, lambda: _ctl(host, "trace", *words), deadline=2 * EVENTUALLY_S
    )


def test_trace_follows_a_packet_between_any_two_containers(lab: Lab) -> None:
    for sender in lab.hosts:
        for receiver in lab.hosts:
            if sender is not receiver:
                start, end = sender.containers[0].address, receiver.containers[0].address
                _passes(sender, end, "--from", start)
                _passes(receiver, end, "--from", start)


def test_trace_names_what_the_daemon_may_not_mend(lab: Lab) -> None:
    """Rules and routes of others: flanpyd leaves them alone, so trace has to tell."""
    here, there = lab.hosts[:2]
    target = there.containers[0].address
    with lab.faults.drop_on_host(here, "udp dport 8472"):
        _blames(here, here.containers[0].address, "--from", target, at="underlay filter")
    here.ip(f"route add blackhole {target}/32")
    try:
        _blames(here, target, at="route")
    finally:
        here.ip(f"route del blackhole {target}/32")
    _passes(here, target)


def test_trace_names_the_hole_while_the_daemon_is_stopped(lab: Lab) -> None:
    """Without its daemon nobody mends: each entry taken away is named, and put back when the daemon is there again."""
    here, there = lab.hosts[:2]
    target, subnet = there.containers[0].address, str(there.subnet_file.subnet.network)
    here.daemon.stop()
    try:
        said = _said(here, "trace", target)
        assert said["unread"] == [
            (
                f"no flanpyd listens on {here.daemon.run_dir}/flanpyd.sock: "
                "systemctl start flanpyd, or name its directory with --run-dir"
            )
        ]
        here.ip(f"neigh del {subnet.partition('/')[0]} dev flannel.1")
        assert _dies_at(here, target) == "neighbour"
        here.ip("route flush proto 70", "route del default")
        assert _dies_at(here, target) == "route"
    finally:
        here.ip("route replace default via 10.99.0.1")
        here.daemon.up()
    assert_settled(lab)
    _passes(here, target)


@pytest.mark.parametrize("backend", ["udp", "host-gw"])
def test_trace_knows_the_other_backends(backend: str, build_lab: BuildLab) -> None:
    lab = build_lab(2)
    lab.configure(backend=backend)
    lab.start_daemons()
    lab.attach_containers()
    here, there = lab.hosts
    target = there.containers[0].address
    _passes(here, target)
    hop = {"udp": "tunnel table", "host-gw": "gateway"}[backend]
    eventually(
        lambda: _verdicts(here, target).get(hop) == "passes",
        lambda: _ctl(here, "trace", target),
        deadline=EVENTUALLY_S,
    )


def _verdicts(host: Host, target: str) -> dict[str, str]:
    return {hop["name"]: hop["verdict"] for hop in _said(host, "trace", target)["hops"]}


def test_trace_agrees_with_ping_under_the_rules_of_docker_engines(build_lab: BuildLab) -> None:
    """First those of an engine that flanpyd answers, then of another in a second flavour, which it cannot."""
    lab = build_lab(2)
    lab.configure()
    lab.start_daemons()
    lab.attach_containers()
    here, there = lab.hosts
    inside, outside = here.containers[0], there.containers[0]

    def agrees(*, well: bool) -> bool:
        said = _dies_at(here, inside.address, "--from", outside.address)
        return (said in {"passes", "unknown"}) is well is bool(outside.ping(inside).ok)

    for replica, well in (("docker-26.1-legacy-bip-mode", True), ("docker-28.5-nft-bip-mode", False)):
        put_docker_rules(here, replica)
        eventually(
            lambda well=well: agrees(well=well),  # type: ignore[misc]
            lambda: _ctl(here, "trace", inside.address, "--from", outside.address),
            deadline=EVENTUALLY_S,
        )
    assert _said(here, "trace", outside.address, "--from", inside.address)["at"] == "source address"


def test_peers_and_events_tell_of_real_hosts(lab: Lab) -> None:
    here = lab.hosts[0]
    assert set(_ctl(here, "peers", "-o", "name").stdout.split()) == {"h2", "h3"}
    eventually(
        lambda: {row["state"] for row in _said(here, "peers")["peers"]} == {"programmed"},
        lambda: _ctl(here, "peers"),
    )
    here.ip("route flush proto 70")
    eventually(
        lambda: "repaired route" in _ctl(here, "events").stdout,
        lambda: _ctl(here, "events"),
        deadline=EVENTUALLY_S,
    )
    assert any(event["kind"] == "repaired" for event in _said(here, "events", "-n", "0")["events"])


def test_top_prints_a_real_daemons_health_with_its_devices(lab: Lab) -> None:
    said = _ctl(lab.hosts[0], "top")
    assert said.returncode == 0
    assert said.stdout.startswith(("h1 READY, ", "h1 DEGRADED, ")), (
        "probes may still remember an earlier test"
    )
    devices = {line.split()[0] for line in said.stdout.splitlines() if line}
    assert {"flannel.1", "eth0", "h2", "h3"} <= devices


def test_diag_packs_what_a_real_host_has(lab: Lab, tmp_path: Path) -> None:
    here = lab.hosts[0]
    eventually(
        lambda: condition(here, "FirewallReady")["status"] == "True", lambda: condition(here, "FirewallReady")
    )
    path = tmp_path / "h1.tar.gz"
    assert _ctl(here, "diag", "-f", str(path)).returncode == 0
    with tarfile.open(path) as archive:
        files = {name.partition("/")[2]: archive.extractfile(name) for name in archive.getnames()}
        texts = {name: file.read().decode() for name, file in files.items() if file is not None}
    assert json.loads(texts["status.json"])["node_id"] == "h1"
    assert len(json.loads(texts["peers.json"])["peers"]) == 2
    assert "flannel.1" in texts["kernel/links.txt"]
    assert "proto 70" in texts["kernel/routes.txt"]
    assert "FLANPY-FORWARD" in texts["filter/nft.txt"] + texts["filter/iptables.txt"]
    assert "net.ipv4.conf.flannel/1.rp_filter" in texts["sysctls.txt"].replace("flannel.1", "flannel/1")
