"""Keys of kernel objects: at most one object per key can stand in a kernel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_interface
from itertools import combinations

import pytest

from flanpy.model.address import Family, Mac
from flanpy.model.objects import (
    Address,
    FdbEntry,
    HostSysctl,
    KernelObject,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    LocalRoute,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    VxlanLink,
)
from flanpy.model.put_order import PutOrder

MAC = Mac(bytes([2, 0, 0, 0, 0, 1]))
LINK = VxlanLink("l", 1, 8472, "eth0", IPv4Address("192.0.2.1"), MAC, 1450)
ROUTE = Route(IPv4Network("10.0.0.0/24"), "l")

DISTINCT: list[KernelObject] = [
    LINK,
    replace(LINK, name="m"),
    LinkUp("l"),
    LinkFeature("l", "tx", enabled=True),
    LinkSysctl(Family.IPV4, "l", "x", "1"),
    LinkSysctl(Family.IPV6, "l", "x", "1"),
    HostSysctl("x", "1"),
    Address("l", ip_interface("10.0.0.1/32")),
    Address("l", ip_interface("10.0.0.1/24")),
    Address("l", ip_interface("::a00:1/32")),
    Neighbour("l", IPv4Address("10.0.0.1"), MAC),
    Neighbour("l", IPv6Address("::a00:1"), MAC),
    Neighbour("m", IPv4Address("10.0.0.1"), MAC),
    FdbEntry("l", MAC, IPv4Address("192.0.2.1")),
    ROUTE,
    replace(ROUTE, destination=IPv4Network("10.0.0.0/25")),
    replace(ROUTE, destination=IPv6Network("::a00:0/24", strict=False)),
    replace(ROUTE, metric=1),
    replace(ROUTE, table=100),
    LocalRoute(IPv4Network("10.0.0.0/26")),
]

SAME = [
    (LINK, replace(LINK, vni=2, mtu=1400)),
    (LINK, OtherLink("l", "dummy")),
    (LinkFeature("l", "tx", enabled=True), LinkFeature("l", "tx", enabled=False)),
    (HostSysctl("x", "1"), HostSysctl("x", "0")),
    (Neighbour("l", IPv4Address("10.0.0.1"), MAC), Neighbour("l", IPv4Address("10.0.0.1"), Mac(bytes(6)))),
    (FdbEntry("l", MAC, IPv4Address("192.0.2.1")), FdbEntry("l", MAC, IPv4Address("192.0.2.2"))),
    (ROUTE, replace(ROUTE, link="m", gateway=IPv4Address("10.0.0.9"), onlink=True, proto=3)),
    (ROUTE, OtherRoute(ROUTE.destination, "blackhole")),
]


def test_objects_that_can_stand_together_have_different_keys() -> None:
    for one, other in combinations(DISTINCT, 2):
        assert one.key != other.key, (one, other)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_objects_that_exclude_each_other_have_one_key(one: KernelObject, other: KernelObject) -> None:
    assert one != other
    assert one.key == other.key


def test_route_comes_after_what_it_needs() -> None:
    phases: list[PutOrder] = [
        VxlanLink.phase,
        LinkFeature.phase,
        Address.phase,
        LinkUp.phase,
        Neighbour.phase,
        FdbEntry.phase,
        Route.phase,
    ]
    assert phases == sorted(phases)
    assert len({*phases}) == len(phases)
    assert PutOrder.ROUTE > PutOrder.FDB > PutOrder.NEIGHBOUR


def test_keys_are_made_of_primitives_only() -> None:
    assert all(isinstance(part, str | int) for obj in DISTINCT for part in obj.key)
