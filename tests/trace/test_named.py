"""Traces to named networks, on a host that has Docker's rules for them: apart, linked, and linked by ports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from flanpy.trace import iproute
from flanpy.trace.hop import HopVerdict, Place, Walk
from flanpy.trace.read import Reading
from flanpy.trace.walk import walk
from tests.trace.rig import Rig, traced_host

pytestmark = pytest.mark.netns

SHOP, BILLING = "10.96.1.5", "10.97.1.5"

_BRIDGES = """
link add fb-1 type bridge
link add fb-2 type bridge
link add p1 type veth peer name q1
link add p2 type veth peer name q2
link set q1 up
link set q2 up
link set p1 master fb-1 up
link set p2 master fb-2 up
link set fb-1 up
link set fb-2 up
addr add 10.96.1.1/16 dev fb-1
addr add 10.97.1.1/16 dev fb-2
"""
_DOCKERS = """\
*filter
:FORWARD DROP [0:0]
:DOCKER-USER - [0:0]
:ISOLATION-1 - [0:0]
:ISOLATION-2 - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j ISOLATION-1
-A FORWARD -i fb-1 ! -o fb-1 -j ACCEPT
-A FORWARD -i fb-2 ! -o fb-2 -j ACCEPT
-A ISOLATION-1 -i fb-1 ! -o fb-1 -j ISOLATION-2
-A ISOLATION-1 -i fb-2 ! -o fb-2 -j ISOLATION-2
-A ISOLATION-2 -o fb-1 -j DROP
-A ISOLATION-2 -o fb-2 -j DROP
COMMIT
*nat
-A POSTROUTING -s 10.96.0.0/16 ! -o fb-1 -j MASQUERADE
-A POSTROUTING -s 10.97.0.0/16 ! -o fb-2 -j MASQUERADE
COMMIT
"""
_WAYS = ("-i fb-1 -o fb-2 -s 10.96.0.0/16 -d 10.97.0.0/16", "-i fb-2 -o fb-1 -s 10.97.0.0/16 -d 10.96.0.0/16")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with traced_host(tmp_path) as made:
        made.here.run("ip", "-batch", "-", stdin=_BRIDGES.strip())
        made.here.run("iptables-nft-restore", stdin=_DOCKERS)
        yield made


def accept(rig: Rig, *more: str) -> None:
    """Put the rules of a link where flanpyd puts them."""
    for way in _WAYS:
        rig.here.run("iptables-nft", "-A", "DOCKER-USER", *way.split(), *more, "-j", "ACCEPT")


def traced(rig: Rig, destination: str, source: str, port: int = 0) -> Walk:
    reading = Reading(lambda _: rig.said and rig.said[_], rig.directory / "tunnel.json")
    seen = rig.here.do(lambda: reading.look(ip_address(destination), ip_address(source)))
    return walk(replace(seen, protocol="tcp" if port else "", port=port))


def test_packet_between_networks_dies_at_dockers_isolation_unless_they_are_linked(rig: Rig) -> None:
    for source, destination in ((SHOP, BILLING), (BILLING, SHOP)):
        found = traced(rig, destination, source)
        assert found.fatal is not None
        assert (found.fatal.place, found.fatal.verdict) == (Place.FILTER, HopVerdict.DIES)
        assert "ISOLATION-2" in found.fatal.text
        assert "flanpyctl networks link" in found.fatal.cure
    accept(rig)
    for source, destination in ((SHOP, BILLING), (BILLING, SHOP)):
        found = traced(rig, destination, source)
        assert found.fatal is None, found.fatal
        assert found.hops[0].place is Place.NETWORK
        hidden = next(hop for hop in found.hops if hop.place is Place.SOURCE_ADDRESS)
        assert (hidden.verdict, "becomes that of this host" in hidden.text) == (HopVerdict.PASSES, True)


def test_packet_between_networks_that_are_linked_by_a_port_passes_to_that_port_alone(rig: Rig) -> None:
    accept(rig, "-p", "tcp", "--dport", "5432")
    assert traced(rig, BILLING, SHOP, 5432).fatal is None
    for port in (0, 80):
        fatal = traced(rig, BILLING, SHOP, port).fatal
        assert fatal is not None
        assert fatal.verdict is HopVerdict.DIES
        assert any("some packets pass" in line for line in fatal.evidence) == (port == 0)


def test_link_is_read_with_the_bridge_that_it_is_in(rig: Rig) -> None:
    seen = rig.here.do(iproute.devices)
    assert (seen["p1"].master, seen["p2"].master, seen["q1"].master) == ("fb-1", "fb-2", "")


def test_packet_within_a_network_meets_no_rule_of_this_host(rig: Rig) -> None:
    found = traced(rig, "10.96.2.7", SHOP)
    assert found.fatal is None
    assert [hop.place for hop in found.hops] == [Place.NETWORK, Place.DEVICE, Place.CONTAINER]
