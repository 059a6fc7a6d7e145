"""`trace` on a real kernel: one thing broken at a time, and the hop that must be named for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flanpy.trace.hop import Hop, HopVerdict, Walk
from flanpy.trace.seen import Direction
from tests.lab.overlay import eventually
from tests.trace.rig import PEER_MAC, Rig, traced_host

pytestmark = pytest.mark.netns


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Rig]:
    with traced_host(tmp_path) as rig:
        yield rig


def _fatal(found: Walk) -> Hop:
    assert found.fatal is not None, found.hops
    return found.fatal


def _names(found: Walk) -> list[str]:
    return [hop.place.value for hop in found.hops]


def test_packet_to_a_peer_passes_every_hop_when_all_is_well(host: Rig) -> None:
    found = host.trace()
    assert found.verdict is HopVerdict.PASSES, found.hops
    assert (found.direction, found.source) == (Direction.OUT, "10.50.1.2")
    assert _names(found) == [
        "lease", "forwarding", "filter before the route", "route", "device", "filter", "source address", "neighbour",
        "FDB entry", "underlay", "underlay filter", "underlay MTU", "rest of the way",
    ]  # fmt: skip
    assert found.unread == ()


def test_packet_over_ipv6_passes_every_hop_when_all_is_well(host: Rig) -> None:
    found = host.trace("fd50:1:0:2::7")
    assert found.verdict is HopVerdict.PASSES, found.hops
    assert "fd50:1:0:2:: is 02:00:5e:10:00:0b on flannel-v6.1" in [hop.text for hop in found.hops][7]


def test_packet_from_this_host_itself_is_not_forwarded(host: Rig) -> None:
    found = host.trace(source="10.50.1.0")
    assert found.verdict is HopVerdict.PASSES, found.hops
    assert found.direction is Direction.FROM_HOST
    assert "forwarding" not in _names(found)


def test_packet_that_arrives_is_followed_to_the_containers_bridge(host: Rig) -> None:
    found = host.trace("10.50.1.5")
    assert found.verdict is HopVerdict.PASSES, found.hops
    assert (found.direction, found.source, found.assumed) == (
        Direction.IN,
        "10.50.2.2",
        "a container of node-2",
    )
    assert _names(found) == [
        "lease", "underlay filter", "forwarding", "filter before the route", "route", "device", "filter",
        "source address", "container",
    ]  # fmt: skip


def _nft(hook: str, rule: str, kind: str = "filter") -> Callable[[Rig], object]:
    head = f"type {kind} hook {hook} priority 50; policy accept;"
    table = f"table inet foe {{\nchain c {{\n{head}\n{rule}\n}}\n}}\n"
    return lambda rig: rig.here.run("nft", "-f", "-", stdin=table)


def _ip(*lines: str) -> Callable[[Rig], None]:
    return lambda rig: rig.ip(*lines)


def _iptables(line: str) -> Callable[[Rig], object]:
    return lambda rig: rig.here.run("iptables-nft", *line.split())


BROKEN_OUT: dict[str, tuple[Callable[[Rig], object], str, str]] = {
    "no route": (_ip("route del 10.50.2.0/24", "route del default"), "route", "no route to 10.50.2.7"),
    "route gone, default leads away": (_ip("route del 10.50.2.0/24"), "route", "go by eth0, not by flannel.1"),
    "a foreign route is more specific": (
        _ip("route add 10.50.2.0/25 via 192.0.2.9"), "route", "go by eth0, not by flannel.1",
    ),
    "a foreign route is a blackhole": (_ip("route add blackhole 10.50.2.0/25"), "route", "10.50.2.7"),
    "route to the wrong VTEP": (
        _ip("route replace 10.50.2.0/24 via 10.50.9.0 dev flannel.1 onlink"), "route", "does not lead to 10.50.2.0",
    ),
    "device gone": (_ip("link del flannel.1"), "route", "flannel.1 does not exist, so packets to 10.50.2.0/24 go"),
    "device and default route gone": (_ip("link del flannel.1", "route del default"), "route", "no route"),
    "device down": (_ip("link set flannel.1 down"), "route", "flannel.1 is down, so packets to 10.50.2.0/24 go"),
    "neighbour gone": (_ip("neigh del 10.50.2.0 dev flannel.1"), "neighbour", "nothing says which MAC 10.50.2.0 has"),
    "neighbour wrong": (
        _ip("neigh replace 10.50.2.0 dev flannel.1 lladdr 02:00:00:00:00:99 nud permanent"),
        "neighbour", f"but node-2's VTEP is {PEER_MAC}",
    ),
    "FDB gone": (
        lambda rig: rig.here.bridge(f"fdb del {PEER_MAC} dev flannel.1 dst 192.0.2.12 self"),
        "FDB entry", f"does not know which host has MAC {PEER_MAC}",
    ),
    "FDB wrong": (
        lambda rig: rig.here.bridge(f"fdb replace {PEER_MAC} dev flannel.1 dst 192.0.2.77 self permanent"),
        "FDB entry", "but node-2 is at 192.0.2.12",
    ),
    "no forwarding": (lambda rig: rig.here.sysctl("net/ipv4/ip_forward", "0"), "forwarding", "forwards nothing"),
    "no forwarding of the bridge": (
        lambda rig: rig.here.sysctl("net/ipv4/conf/docker0/forwarding", "0"),
        "forwarding", "nothing is forwarded that comes in by docker0",
    ),
    "a rule asks another table first": (
        _ip("rule add pref 5270 lookup 52", "route add 10.0.0.0/8 dev eth0 table 52"),
        "route", "as routing rule '5270: from all lookup 52' goes before the main table",
    ),
    "a rule ends it": (
        _ip("rule add pref 5270 to 10.50.0.0/16 prohibit"),
        "route", "as routing rule '5270: from all to 10.50.0.0/16 prohibit' goes before the main table",
    ),
    "policy drop": (
        _iptables("-P FORWARD DROP"), "filter", "iptables-nft table filter",
    ),
    "foreign drop": (_nft("forward", "ip daddr 10.50.0.0/16 counter drop"), "filter", "nft table foe, chain c"),
    "foreign drop before the route": (
        _nft("prerouting", "iifname docker0 drop"), "filter before the route", "nft table foe, chain c",
    ),
    "foreign drop of the tunnel": (_nft("output", "udp dport 8472 drop"), "underlay filter", "UDP port 8472"),
    "underlay down": (_ip("link set eth0 down"), "underlay", "192.0.2.12"),
    "underlay without a route": (
        _ip("route add unreachable 192.0.2.12/32"), "underlay", "no route to 192.0.2.12",
    ),
    "peer unreachable": (
        lambda rig: rig.probed.update(reach="unreachable", trouble="PortBlocked", evidence="silence", cure="open it"),
        "rest of the way", "PortBlocked",
    ),
    "lease rejected": (
        lambda rig: rig.peer.update(state="rejected", reason="its subnet overlaps ours"), "lease", "overlaps ours",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_OUT)
def test_packet_dies_where_it_must_when_something_is_broken(case: str, host: Rig) -> None:
    breaks, name, words = BROKEN_OUT[case]
    breaks(host)
    hop = _fatal(host.trace())
    assert (hop.place.value, hop.verdict) == (name, HopVerdict.DIES), hop
    assert words in " ".join((hop.text, *hop.evidence)), hop


HARMED: dict[str, tuple[Callable[[Rig], object], str, str]] = {
    "foreign masquerade": (
        _nft("postrouting", "ip saddr 10.50.1.0/24 oifname != docker0 masquerade", "nat"),
        "source address", "10.50.1.2 is rewritten by nft table foe",
    ),
    "Docker's masquerade": (
        _iptables("-t nat -A POSTROUTING -s 10.50.1.0/24 ! -o docker0 -j MASQUERADE"),
        "source address", "rewritten by iptables-nft table nat, chain POSTROUTING",
    ),
    "MTU above the daemon's": (lambda rig: rig.link.update(mtu=1400), "device", "1400 fits the underlay"),
    "MTU of the underlay": (_ip("link set eth0 mtu 1400"), "underlay MTU", "carries 1350"),
    "path MTU by probes": (
        lambda rig: rig.probed.update(reach="lossy", trouble="MTUBlackHole"), "rest of the way", "MTUBlackHole",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HARMED)
def test_packet_is_harmed_where_it_must_when_something_is_odd(case: str, host: Rig) -> None:
    breaks, name, words = HARMED[case]
    breaks(host)
    hop = _fatal(host.trace())
    assert (hop.place.value, hop.verdict) == (name, HopVerdict.HARMS), hop
    assert words in hop.text


def _filter_reverse_paths(rig: Rig) -> None:
    rig.here.sysctl("net/ipv4/conf/flannel.1/rp_filter", "1")
    rig.ip("route del 10.50.2.0/24")


def _empty_bridge(rig: Rig) -> None:
    """A bridge loses its carrier a while after its last port."""
    rig.ip("link del port0")
    eventually(
        lambda: "NO-CARRIER" in rig.here.ip("link show docker0"), "docker0 keeps its carrier", deadline=30
    )


BROKEN_IN: dict[str, tuple[Callable[[Rig], object], str, str]] = {
    "tunnel blocked": (_nft("input", "udp dport 8472 drop"), "underlay filter", "UDP port 8472"),
    "reverse path": (_filter_reverse_paths, "route", "reverse path filtering"),
    "Docker's direct drop": (
        _iptables("-t raw -A PREROUTING -d 10.50.1.5/32 ! -i docker0 -j DROP"),
        "filter before the route", "iptables-nft table raw",
    ),
    "Docker's bridge drop": (
        _iptables("-A FORWARD ! -i docker0 -o docker0 -j DROP"),
        "filter", "iptables-nft table filter",
    ),
    "bridge down": (_ip("link set docker0 down"), "route", "to no bridge of this host, but to eth0"),
    "bridge empty": (_empty_bridge, "device", "no carrier"),
    "no such container": (_ip("neigh replace 10.50.1.5 dev docker0 nud failed"), "container", "nobody on docker0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_IN)
def test_packet_that_arrives_dies_where_it_must(case: str, host: Rig) -> None:
    breaks, name, words = BROKEN_IN[case]
    breaks(host)
    hop = _fatal(host.trace("10.50.1.5"))
    assert (hop.place.value, hop.verdict) == (name, HopVerdict.DIES), hop
    assert words in " ".join((hop.text, *hop.evidence)), hop


def test_address_that_no_lease_covers_is_named(host: Rig) -> None:
    hop = _fatal(host.trace("10.50.77.1"))
    assert (hop.place.value, hop.verdict) == ("lease", HopVerdict.DIES)
    assert "no lease covers 10.50.77.1" in hop.text


def test_rule_for_some_packets_is_evidence_and_no_death(host: Rig) -> None:
    _nft("forward", "tcp dport 80 drop")(host)
    found = host.trace()
    assert found.verdict is HopVerdict.PASSES
    assert next(hop for hop in found.hops if hop.place.value == "filter").evidence == (
        "some packets: nft table foe, chain c: tcp dport 80 drop",
    )


def test_trace_without_a_daemon_tells_what_the_kernel_does_and_what_is_not_known(host: Rig) -> None:
    host.said = None
    found = host.trace(source="10.50.1.5")
    assert found.verdict is HopVerdict.UNKNOWN
    assert found.unread == ("no flanpyd listens here",)
    assert {"route", "neighbour", "FDB entry"} <= set(_names(found))
    host.ip("neigh del 10.50.2.0 dev flannel.1")
    assert _fatal(host.trace(source="10.50.1.5")).place.value == "neighbour"


def test_second_fault_behind_the_first_is_told_too(host: Rig) -> None:
    host.here.sysctl("net/ipv4/ip_forward", "0")
    host.here.bridge(f"fdb del {PEER_MAC} dev flannel.1 dst 192.0.2.12 self")
    _nft("output", "udp dport 8472 drop")(host)
    dead = [hop.place.value for hop in host.trace().hops if hop.verdict is HopVerdict.DIES]
    assert dead[0] == "forwarding"
    assert "FDB entry" in dead


def test_udp_backend_is_judged_by_the_tunnels_table(host: Rig) -> None:
    host.turn_to_udp()
    well = host.trace()
    assert well.verdict is HopVerdict.PASSES, well.hops
    assert "10.50.2.0/24 is reached through 192.0.2.12, kernel plane" in [hop.text for hop in well.hops]
    table = host.directory / "tunnel.json"
    table.write_text('[["flannel0", "10.50.2.0/24", "192.0.2.66", true]]')
    assert "to 192.0.2.66, but node-2 is at 192.0.2.12" in _fatal(host.trace()).text
    table.write_text("[]")
    assert "no row for 10.50.2.0/24" in _fatal(host.trace()).text
    table.unlink()
    unread = host.trace()
    assert (unread.verdict, len(unread.unread)) == (HopVerdict.UNKNOWN, 1)


def test_host_gw_backend_is_judged_by_the_gateway(host: Rig) -> None:
    host.turn_to_host_gw()
    well = host.trace()
    assert well.verdict is HopVerdict.PASSES, well.hops
    assert "gateway" in _names(well)
    host.ip("neigh replace 192.0.2.12 dev eth0 nud failed")
    assert _fatal(host.trace()).place.value == "gateway"
    host.ip("route replace 10.50.2.0/24 via 192.0.2.77 proto 70")
    hop = _fatal(host.trace())
    assert (hop.place.value, hop.text) == ("route", "the route to 10.50.2.0/24 does not lead to 192.0.2.12")


def test_json_names_the_hop_of_the_verdict(host: Rig) -> None:
    host.ip("neigh del 10.50.2.0 dev flannel.1")
    said = host.trace().as_json()
    assert (said["verdict"], said["at"]) == ("dies", "neighbour")
    assert next(hop for hop in said["hops"] if hop["name"] == "neighbour")["verdict"] == "dies"
