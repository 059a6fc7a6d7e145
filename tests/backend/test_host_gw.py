"""The host-gw backend: routes through the peers themselves, and what is said of peers that are not on-link."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest

from flanpy.backend import choice
from flanpy.backend.host_gw import HostGwBackend
from flanpy.backend.way import WayKind
from flanpy.model.facts import HostFacts, HostRoute
from flanpy.model.lease import LeaseRecord
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import HostSysctl, Route
from flanpy.plan.admission import admit
from tests.plan.pipeline import desired_of
from tests.states import DUAL, FACTS, POLICY, ROUTED, V4, V6, as_backend, crowd, lease, moved, options, world

BACKEND = HostGwBackend()
ONE = as_backend("host-gw", crowd(1))
TWO_HOPS = as_backend("host-gw", world(V4, lease(1), ROUTED))


def _routes(of: object) -> list[Route]:
    wanted = desired_of(of)  # type: ignore[arg-type]
    return [obj for obj in (wanted or {}).values() if isinstance(obj, Route)]


def test_peer_is_the_gateway_to_its_own_subnet_and_nothing_else_is_wanted() -> None:
    wanted = desired_of(ONE) or {}
    assert list(wanted.values()) == [
        HostSysctl("net.ipv4.ip_forward", "1"),
        Route(IPv4Network("10.50.11.0/24"), "eth0", IPv4Address("192.0.2.11")),
    ]
    assert choice.links(ONE) == frozenset()


@pytest.mark.parametrize("network", [V4, V6, DUAL], ids=["v4", "v6", "dual"])
def test_p22_either_family_is_routed_by_the_same_code(network: NetworkConfig) -> None:
    expected = []
    if network.network is not None:
        expected.append(Route(IPv4Network("10.50.11.0/24"), "eth0", IPv4Address("192.0.2.11")))
    if network.network6 is not None:
        expected.append(Route(IPv6Network("fd50:0:0:b::/64"), "eth0", IPv6Address("2001:db8::b")))
    assert _routes(as_backend("host-gw", crowd(1, network))) == expected


def test_p18_peer_behind_a_router_gets_no_route_and_is_named_with_the_gateway() -> None:
    assert [route.destination for route in _routes(TWO_HOPS)] == [IPv4Network("10.50.11.0/24")]
    planner = BACKEND.planner(TWO_HOPS)
    assert planner is not None
    peers = {peer.record.node_id: peer for peer in admit(TWO_HOPS).peers}
    assert not planner.unreached(peers["node-1"])
    assert planner.unreached(peers["node-3"])
    way = BACKEND.ways(TWO_HOPS)
    assert (way(peers["node-1"]).kinds, way(peers["node-1"]).reason) == (
        (WayKind.DIRECT,),
        "192.0.2.11 is on-link on eth0",
    )
    assert (way(peers["node-3"]).kinds, way(peers["node-3"]).reason) == (
        (WayKind.NONE,),
        "198.51.100.3 is behind gateway 192.0.2.1 on eth0",
    )


def test_p18_peer_without_any_route_to_it_is_named_as_such() -> None:
    cut_off = replace(TWO_HOPS, facts=replace(FACTS, routes=FACTS.routes[1:2]))
    (peer,) = [peer for peer in admit(cut_off).peers if peer.record.node_id == "node-3"]
    assert BACKEND.ways(cut_off)(peer).reason == "this host has no route to 198.51.100.3"


def test_p18_one_family_that_is_not_on_link_makes_the_peer_unreached() -> None:
    """Half of its containers' addresses lead nowhere: that must be seen."""
    dual = as_backend("host-gw", crowd(1, DUAL))
    half = replace(dual, facts=replace(FACTS, routes=FACTS.routes[:3]))
    planner = BACKEND.planner(half)
    (peer,) = admit(half).peers
    assert planner is not None
    assert planner.unreached(peer)
    assert [route.destination for route in _routes(half)] == [IPv4Network("10.50.11.0/24")]
    assert str(BACKEND.ways(half)(peer)) == "direct/none"


def test_peer_on_a_second_link_is_routed_by_that_link() -> None:
    second = HostRoute(IPv4Network("198.51.100.0/24"), "eth1", None)
    routed = replace(TWO_HOPS, facts=replace(FACTS, routes=(*FACTS.routes, second)))
    assert Route(IPv4Network("10.50.13.0/24"), "eth1", IPv4Address("198.51.100.3")) in _routes(routed)


def test_host_route_by_a_gateway_makes_an_on_link_peer_unreached() -> None:
    detour = HostRoute(IPv4Network("192.0.2.11/32"), "eth0", IPv4Address("192.0.2.1"))
    assert _routes(replace(ONE, facts=replace(FACTS, routes=(*FACTS.routes, detour)))) == []


@pytest.mark.parametrize("mtu", [1280, 1500, 9000])
def test_p19_mtu_is_the_underlays(mtu: int) -> None:
    assert choice.mtu(replace(ONE, facts=moved(mtu=mtu))) == mtu


def test_mtu_and_plan_wait_for_the_underlay() -> None:
    blind = replace(ONE, facts=HostFacts())
    assert (choice.mtu(blind), choice.plan(blind, ()), BACKEND.advertise(blind)) == (0, None, None)


def test_advertised_record_has_flannels_type_and_no_data() -> None:
    assert BACKEND.advertise(ONE) == LeaseRecord(
        IPv4Address("192.0.2.10"), None, "host-gw", node_id=POLICY.node_id
    )


def test_options_are_ignored_as_flannel_does() -> None:
    BACKEND.validate(options(V4, directrouting="whatever").backend_options)


def test_lease_of_another_backend_is_no_peer() -> None:
    mixed = replace(ONE, view=crowd(1).view)
    assert admit(mixed).peers == ()
    assert "is of backend vxlan, the network's is host-gw" in admit(mixed).rejected[0].message
