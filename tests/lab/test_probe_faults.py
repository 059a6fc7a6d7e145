"""Probes among real hosts: each fault of the network is named at both ends, and cleared once it is gone (P06, P19)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flanpy.cli.base.control import Control
from integration.lab import Host, Lab
from integration.net import namespaces
from tests.lab.overlay import assert_settled, eventually
from tests.lab.probe_side import DEADLINE_S, FAST, condition, plain_peer, wait_for, wait_whole

pytestmark = pytest.mark.lab

Three = tuple[Host, Host, Host]


@pytest.fixture(scope="module")
def crowd() -> Iterator[Lab]:
    """Three hosts with flanpyd that probe often, and a fourth that runs none."""
    with Lab(4) as lab:
        lab.configure()
        for host in lab.hosts[:3]:
            host.daemon.launch(FAST)
        for host in lab.hosts[:3]:
            host.daemon.wait_ready()
        yield lab


@pytest.fixture
def hosts(crowd: Lab) -> Three:
    first, second, third, _ = crowd.hosts
    wait_whole(first, second, third)
    return first, second, third


def between(first: Host, second: Host) -> str:
    """The overlay's packets between two hosts, as the switch sees them."""
    both = f"{{ {first.address}, {second.address} }}"
    return f"ip saddr {both} ip daddr {both} udp dport 8472"


def test_hosts_reach_each_other_with_packets_of_full_size_and_say_how_fast(hosts: Three) -> None:
    # what was lost while the others were starting leaves the window with time
    row = wait_for(hosts[0], "h2", path_mtu=1450, loss=0.0, underlay_loss=0.0)
    assert row["path_mtu_wanted"] == 1450
    assert row["underlay_rtt_ms"] is not None
    eventually(
        lambda: condition(hosts[0], "PeersReachable").get("healthy"), "all are reached", deadline=DEADLINE_S
    )


def test_port_blocked_between_two_hosts_is_named_at_both_ends_until_it_is_open(
    crowd: Lab, hosts: Three
) -> None:
    """P06"""
    first, second, third = hosts
    with crowd.faults.drop_on_switch(between(first, second)):
        for here, there in ((first, second), (second, first)):
            row = wait_for(here, there.name, reach="unreachable", trouble="PortBlocked")
            assert "UDP port 8472" in row["evidence"]
            assert {first.name, second.name} <= set(row["evidence"].replace(",", " ").split())
        wait_for(third, first.name, reach="reachable")
        eventually(
            lambda: "h1 -> h2" in str(condition(first, "PeersReachable").get("message")),
            lambda: condition(first, "PeersReachable"),
            deadline=DEADLINE_S,
        )
    wait_whole(*hosts)
    eventually(
        lambda: condition(first, "PeersReachable").get("healthy"),
        lambda: condition(first, "PeersReachable"),
        deadline=DEADLINE_S,
    )


def test_mesh_names_exactly_the_broken_pair_whoever_is_asked(crowd: Lab, hosts: Three) -> None:
    first, second, third = hosts
    with crowd.faults.drop_on_switch(between(first, second)):
        for here, there in ((first, second), (second, first)):
            wait_for(here, there.name, trouble="PortBlocked")

        def broken() -> set[tuple[str, str]]:
            rows = Control(third.daemon.run_dir).get("mesh")["rows"]
            return {(row["from"], row["to"]) for row in rows if row["reach"] == "unreachable"}

        eventually(lambda: broken() == {("h1", "h2"), ("h2", "h1")}, broken, deadline=DEADLINE_S)


def test_direction_that_is_dead_is_told_from_both_sides(crowd: Lab, hosts: Three) -> None:
    first, second, _ = hosts
    match = f"ip saddr {first.address} ip daddr {second.address} udp dport 8472"
    with crowd.faults.drop_on_switch(match):
        wait_for(first, second.name, reach="unreachable", trouble="OneWayOut")
        wait_for(second, first.name, reach="unreachable", trouble="OneWayIn")
    wait_whole(*hosts)


def test_host_that_is_cut_off_is_down_to_others_and_sees_that_it_has_no_underlay(
    crowd: Lab, hosts: Three
) -> None:
    first, second, third = hosts
    with crowd.faults.silence(third):
        wait_for(first, third.name, reach="unreachable", trouble="PeerDown")
        wait_for(third, second.name, reach="unreachable", trouble="NoUnderlay")
        wait_for(first, second.name, reach="reachable")
    wait_whole(*hosts)


def test_large_packets_that_vanish_are_measured_to_the_byte_until_they_pass(crowd: Lab, hosts: Three) -> None:
    """P19"""
    first, second, _ = hosts
    with crowd.faults.drop_on_switch("meta length > 1400"):
        row = wait_for(first, second.name, trouble="MTUBlackHole", path_mtu=1350)
        assert (row["reach"], row["path_mtu_wanted"]) == ("reachable", 1450)
        eventually(
            lambda: condition(first, "MTUConsistent").get("reason") == "PathTooNarrow",
            lambda: condition(first, "MTUConsistent"),
            deadline=DEADLINE_S,
        )
    wait_for(first, second.name, trouble="", path_mtu=1450)


def test_underlay_that_drops_icmp_is_known_to_live_by_tcp(crowd: Lab, hosts: Three) -> None:
    first, second, _ = hosts
    icmp = f"ip saddr {first.address} ip daddr {second.address} icmp type echo-request"
    with crowd.faults.drop_on_switch(icmp), crowd.faults.drop_on_switch(between(first, second)):
        row = wait_for(first, second.name, reach="unreachable", trouble="PortBlocked")
        assert "TCP" in row["evidence"]
    wait_whole(*hosts)


def test_packet_filter_of_a_host_that_refuses_its_own_probes_is_named(hosts: Three) -> None:
    first, second, _ = hosts
    drop = f"ip daddr {{ {second.address}, {vtep(first, second)} }} icmp type echo-request drop"
    rules = f"table inet lab_out {{ chain out {{ type filter hook output priority 0; {drop}; }}; }}\n"
    namespaces.run_in(first.namespace, ["nft", "-f", "-"], stdin=rules)
    try:
        wait_for(first, second.name, reach="unreachable", trouble="Firewall")
    finally:
        first.run("nft", "delete", "table", "inet", "lab_out")
    wait_whole(*hosts)


def vtep(host: Host, other: Host) -> str:
    rows = Control(host.daemon.run_dir).get("peers")["peers"]
    return str(next(row["subnet"] for row in rows if row["node_id"] == other.name).partition("/")[0])


def test_probes_go_on_after_the_overlay_device_was_made_anew(crowd: Lab, hosts: Three) -> None:
    first, second, _ = hosts
    first.ip("link del flannel.1")
    assert_settled(crowd, hosts)

    def reached() -> bool:
        """Report what a round of now finds: the socket follows the device a moment after the device stands."""
        answered = Control(first.daemon.run_dir).post("probe")["peers"]
        return {row["reach"] for row in answered if row["node_id"] == second.name} == {"reachable"}

    eventually(reached, "the peer is probed by the new device", deadline=DEADLINE_S)


def test_peer_that_runs_flannel_is_reached_and_measured(crowd: Lab, hosts: Three) -> None:
    plain_peer(crowd, crowd.hosts[3])
    row = wait_for(hosts[0], "10.50.250.0/24", reach="reachable", path_mtu=1450)
    assert (row["trouble"], row["node_id"]) == ("", "")
