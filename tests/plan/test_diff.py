"""The difference of desired and observed, where links are taken, unfit or of another kind."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.model.address import Mac
from flanpy.model.objects import (
    Blackhole,
    HostSysctl,
    KernelObject,
    Neighbour,
    OtherLink,
    OwnLink,
    Route,
    TunLink,
    TunnelEnd,
    TunnelPeer,
    VxlanLink,
)
from flanpy.model.ops import Delete, Put
from flanpy.plan.diff import Difference, diff, objects_by_key
from flanpy.plan.ownership import Observed

NET, PEER, HERE = IPv4Network("10.50.11.0/24"), IPv4Address("192.0.2.11"), IPv4Address("192.0.2.10")
VXLAN = VxlanLink("flannel.1", 1, 8472, "eth0", HERE, Mac.parse("02:00:00:00:00:01"), 1450)
TUN = TunLink("flannel.1", 1450)
OTHER_TUN = TunLink("flannel0", 1472)
END = TunnelEnd("flannel0", "eth0", HERE, 8285, 1472, IPv4Network("10.50.10.0/24"))
TUNNEL_PEER = TunnelPeer("flannel0", NET, PEER)


def between(
    desired: list[KernelObject],
    owned: list[KernelObject],
    foreign: list[KernelObject] | None = None,
    *,
    may_replace: bool = True,
) -> Difference:
    observed = Observed(objects_by_key(owned), objects_by_key(foreign or []))
    return diff(objects_by_key(desired), observed, may_replace=may_replace)


def test_tunnel_waits_for_a_device_whose_name_is_taken() -> None:
    found = between([OTHER_TUN, END, TUNNEL_PEER], [], [OtherLink("flannel0", "bridge")])
    assert (found.ops, found.blocked) == ((), 2)
    assert [one.wanted for one in found.conflicts] == [OTHER_TUN]


@pytest.mark.parametrize(("wanted", "found"), [(VXLAN, TUN), (TUN, VXLAN)])
def test_device_of_another_kind_is_made_anew_with_all_that_stood_on_it(
    wanted: OwnLink, found: OwnLink
) -> None:
    route = Route(NET, "flannel.1")
    difference = between([wanted, route], [found, route])
    assert difference.ops == (Delete(found), Put(wanted), Put(route))
    assert between([wanted, route], [found, route], may_replace=False).ops == ()


def test_device_that_can_be_changed_is_changed_while_another_may_not_be_replaced() -> None:
    unfit = replace(VXLAN, port=4789)
    changed = replace(OTHER_TUN, mtu=1400)
    route = Route(NET, "flannel.1")
    longer = replace(route, onlink=True)
    difference = between([unfit, changed, longer], [VXLAN, OTHER_TUN, route], may_replace=False)
    assert difference.ops == (Put(changed, OTHER_TUN), Put(longer, route))


def test_foreign_route_in_the_place_of_a_blackhole_is_a_conflict() -> None:
    blackhole = Blackhole(NET)
    theirs = Route(NET, "eth7", metric=blackhole.metric, proto=4)
    (conflict,) = between([blackhole], [], [theirs]).conflicts
    assert (conflict.wanted, conflict.found) == (blackhole, theirs)


def test_foreign_route_that_forwards_like_ours_serves_instead_of_it() -> None:
    ours = Route(NET, "flannel.1", IPv4Address("10.50.11.0"), onlink=True)
    assert between([ours], [], [replace(ours, proto=4, onlink=False)]) == Difference()


def test_only_what_is_said_to_have_changed_is_looked_at() -> None:
    route, other = Route(NET, "eth0"), Route(IPv4Network("10.50.12.0/24"), "eth0")
    gone, stays = Neighbour("flannel.1", PEER, VXLAN.mac), HostSysctl("net.ipv4.ip_forward", "1")
    desired = objects_by_key([route, other])
    observed = Observed(objects_by_key([gone, stays]))
    assert diff(desired, observed, changed=()) == Difference()
    assert diff(desired, observed, changed=(("neither", "wanted nor there"),)) == Difference()
    assert diff(desired, observed, changed=(route.key,)).ops == (Put(route),)
    assert diff(desired, observed, changed=(gone.key,)).ops == (Delete(gone),)
