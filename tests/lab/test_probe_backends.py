"""Probes over every backend and both families, across a change of address, and what `flanpyctl ping` makes of them."""

from __future__ import annotations

import asyncio
import json
from ipaddress import IPv4Interface
from typing import Any

import pytest

from flanpy.cli.base.control import Control
from flanpy.probe.exchange import ask
from integration.lab import Host, Lab, flanpyctl
from integration.net.namespaces import in_namespace
from tests.lab.conftest import BuildLab
from tests.lab.etcd_side import owned
from tests.lab.overlay import eventually
from tests.lab.probe_side import DEADLINE_S, FAST, wait_for, wait_whole

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

DUAL = {
    "Network": "10.50.0.0/16",
    "EnableIPv6": True,
    "IPv6Network": "fd50::/48",
    "Backend": {"Type": "vxlan"},
}


def start(lab: Lab, backend: str = "vxlan", config: dict[str, Any] | None = None) -> None:
    lab.configure(config, backend=backend)
    lab.start_daemons(FAST)
    lab.attach_containers()  # with host-gw it is the bridge that answers
    wait_whole(*lab.hosts)


def test_host_gw_peers_are_measured_at_their_bridges_and_missed_when_cut_off(build_lab: BuildLab) -> None:
    lab = build_lab(2)
    start(lab, "host-gw")
    one, two = lab.hosts
    row = wait_for(one, two.name, reach="reachable", path_mtu=1500)
    assert row["rtt_ms"] is not None
    with lab.faults.partition([one], [two]):
        row = wait_for(one, two.name, reach="unreachable", trouble="PeerDown")
        assert two.address in row["evidence"]
    wait_whole(one, two)


def test_udp_backends_port_is_the_one_that_is_named_when_blocked(build_lab: BuildLab) -> None:
    """P06"""
    lab = build_lab(2)
    start(lab, "udp")
    one, two = lab.hosts
    wait_for(one, two.name, path_mtu=1472)
    with lab.faults.drop_on_switch("udp dport 8285"):
        for here, there in ((one, two), (two, one)):
            row = wait_for(here, there.name, reach="unreachable", trouble="PortBlocked")
            assert "UDP port 8285" in row["evidence"]
    wait_whole(one, two)


def test_l3_sender_at_a_peers_address_is_told_nothing_without_the_token_of_its_lease(
    build_lab: BuildLab,
) -> None:
    """A container has its host's address wherever that masquerades; the mesh is whole all the while."""
    lab = build_lab(2)
    start(lab)
    one, two = lab.hosts
    overlay = IPv4Interface(two.subnet_file.subnet).network.network_address

    def told(token: str) -> object:
        return in_namespace(one.namespace, lambda: asyncio.run(ask(overlay, 8473, token)))

    def rows() -> set[tuple[str, str]]:
        said = json.loads(one.run(*flanpyctl(), "ping", "--all", "-o", "json").stdout)
        return {(row["from"], row["to"]) for row in said["rows"]}

    def tokens() -> dict[str, str]:
        found = {host.name: owned(lab, host) for host in lab.hosts}
        return {name: json.loads(one.value)["MeshToken"] for name, one in found.items() if one is not None}

    before = tokens()
    assert len(set(before.values())) == 2
    eventually(lambda: told(before["h1"]) is not None, "who has the token is told")
    assert told("") is None
    assert told(before["h2"]) is None
    eventually(lambda: rows() == {("h1", "h2"), ("h2", "h1")}, "the mesh is whole")
    one.daemon.stop()
    one.daemon.up(FAST)
    assert tokens() == before
    eventually(lambda: rows() == {("h1", "h2"), ("h2", "h1")}, "the mesh after a restart")


def test_one_dead_family_of_two_is_told_with_its_address(build_lab: BuildLab) -> None:
    """P22"""
    lab = build_lab(2, ipv6=True)
    start(lab, config=DUAL)
    one, two = lab.hosts
    with lab.faults.drop_on_switch("ether type ip6 udp dport 8472"):
        row = wait_for(one, two.name, reach="unreachable", trouble="PortBlocked")
        assert two.seat.address6 in row["evidence"]
        assert two.address not in row["evidence"].replace(two.seat.address6, "")
        assert one.containers[0].ping(two.containers[0]).ok
    wait_whole(one, two)


def test_peer_that_changed_its_address_is_probed_at_the_new_one(build_lab: BuildLab) -> None:
    """P27"""
    lab = build_lab(3)
    start(lab)
    one, two, _ = lab.hosts
    old, new = two.address, "10.99.1.77"
    with lab.faults.set_address(two, new):
        wait_for(one, two.name, public_ip=new, reach="reachable", trouble="")
        wait_whole(*lab.hosts)
    wait_for(one, two.name, public_ip=old, reach="reachable", trouble="")
    wait_whole(*lab.hosts)
    _pings(lab)


def _ctl(host: Host, *words: str) -> tuple[int, str, str]:
    done = host.run(*flanpyctl(), *words, check=False)
    return done.returncode, done.stdout, done.stderr


def _pings(lab: Lab) -> None:
    """`flanpyctl ping` gives its verdict at once, and every host knows of every pair."""
    one, two, three = lab.hosts
    eventually(lambda: _ctl(one, "ping")[0] == 0, "not every peer is well", deadline=DEADLINE_S)
    eventually(lambda: _ctl(three, "ping", "--all")[0] == 0, "not every pair is well", deadline=DEADLINE_S)
    with lab.faults.drop_on_switch(f"ip saddr {one.address} ip daddr {two.address} udp dport 8472"):
        code, table, said = _ctl(one, "ping")
        assert (code, "unreachable" in table) == (5, True), table + said
        assert f"{one.name} -> {two.name}" in said
        assert f"{one.name} -> {three.name}" not in said
        assert _ctl(one, "ping", three.name)[0] == 0
        assert _ctl(one, "ping", "nobody")[0] == 4
        broken: set[tuple[str, str]] = set()

        def both_are_told() -> bool:
            rows = json.loads(_ctl(three, "ping", "--all", "-o", "json")[1])["rows"]
            broken.clear()
            broken.update((row["from"], row["to"]) for row in rows if row["reach"] == "unreachable")
            return broken == {(one.name, two.name), (two.name, one.name)}

        eventually(both_are_told, lambda: broken, deadline=DEADLINE_S)
        assert _ctl(three, "ping", "--all")[0] == 5
    peers = Control(one.daemon.run_dir).post("probe")["peers"]
    assert {row["node_id"]: row["reach"] for row in peers} == {
        two.name: "reachable",
        three.name: "reachable",
    }
