"""`trace` through WireGuard on values: which peer the packet is encrypted to, and what becomes of the encrypted one."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from flanpy.trace.filter import Chain, Effect, Hook, TracedRule, TracedTable
from flanpy.trace.hop import Hop, HopVerdict, Place, Walk
from flanpy.trace.seen import Device, Direction, Probed, RouteAnswer, Seen
from flanpy.trace.walk import walk
from tests.doctor.worlds import BRIDGE, ETH, OWN, PEER, SEEN

WG = Device("flannel-wg", True, True, 1420, "wireguard")
_WANTED = replace(WG, port=51820)
_LEASE = replace(SEEN.overlay.leases[0], backend="wireguard", mac="")

OUT = replace(
    SEEN,
    overlay=replace(SEEN.overlay, backend="wireguard", device=_WANTED, leases=(_LEASE,)),
    peer=_LEASE,
    devices={"flannel-wg": WG, "eth1": ETH, "docker0": replace(BRIDGE, mtu=1420)},
    addresses={ip_address("192.0.2.11"): "eth1", OWN[0]: "flannel-wg", OWN[1]: "docker0"},
    inner=RouteAnswer("flannel-wg", None, entry=f"{PEER} dev flannel-wg"),
    probed=Probed("reachable", "", "", ""),
    neighbours={},
    fdb={},
)
IN = replace(
    OUT,
    destination=OWN[2],
    source=PEER[2],
    direction=Direction.IN,
    in_link="flannel-wg",
    inner=RouteAnswer("docker0", None, entry=f"{OWN} dev docker0"),
)


def _hop(found: Walk, place: Place) -> Hop:
    return next(hop for hop in found.hops if hop.place is place)


def _dropping(hook: Hook, seen: Seen, match: str) -> Seen:
    chain = Chain(hook.name, (TracedRule(f"{match} -j DROP", Effect.DROP),), hook)
    return replace(seen, tables=(TracedTable("iptables-nft", "filter", None, {hook.name: chain}),))


def test_packet_is_encrypted_to_the_host_of_its_subnet_and_needs_no_entry() -> None:
    found = walk(OUT)
    assert found.verdict is HopVerdict.PASSES, found.hops
    assert _hop(found, Place.TUNNEL_TABLE).text == "through flannel-wg, encrypted to node-2"
    assert not {Place.NEIGHBOUR, Place.FDB_ENTRY} & {hop.place for hop in found.hops}
    assert "192.0.2.12" in _hop(found, Place.UNDERLAY).text


def test_packet_that_arrives_is_followed_to_the_bridge() -> None:
    found = walk(IN)
    assert found.verdict is HopVerdict.PASSES, found.hops


@pytest.mark.parametrize(
    ("hook", "seen"), [(Hook.OUTPUT, OUT), (Hook.INPUT, IN)], ids=["what leaves", "what comes"]
)
def test_rule_that_drops_the_encrypted_packet_is_named_with_the_port(hook: Hook, seen: Seen) -> None:
    fatal = walk(_dropping(hook, seen, "-p udp --dport 51820")).fatal
    assert fatal is not None
    assert "UDP port 51820" in fatal.text
    assert hook.name in fatal.text
    assert "51820" in fatal.cure


@pytest.mark.parametrize(("mtu", "fits"), [(1480, True), (1479, False)])
def test_encrypted_packet_has_to_fit_the_underlay(mtu: int, fits: bool) -> None:
    assert OUT.devices is not None
    found = walk(replace(OUT, devices={**OUT.devices, "eth1": replace(ETH, mtu=mtu)}))
    assert (_hop(found, Place.UNDERLAY_MTU).verdict is HopVerdict.PASSES) is fits, found.hops
