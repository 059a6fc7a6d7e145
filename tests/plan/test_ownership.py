"""Ownership: our objects are changed and removed; others are never touched, at most reported."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, ip_interface

import pytest

from flanpy.model.address import Mac
from flanpy.model.objects import (
    Address,
    FdbEntry,
    KernelObject,
    LinkUp,
    Neighbour,
    OtherLink,
    OtherRoute,
    Route,
    TunLink,
    VxlanLink,
)
from flanpy.model.ops import Delete, Objects, Put
from flanpy.model.put_order import LINK_ALIAS
from flanpy.plan.diff import cleanup_ops
from flanpy.plan.ownership import PROTO_BOOT, claim, owns_link, split
from tests.plan.pipeline import Run, Standing, agree, desired_of
from tests.states import DIRECT, WORLDS, crowd, lease, world

PEER = IPv4Network("10.50.11.0/24")
"""The subnet of peer 1."""

VTEP = PEER.network_address


def device(world_name: str = "one peer") -> VxlanLink:
    link = (desired_of(WORLDS[world_name]) or {})["link", "flannel.1"]
    assert isinstance(link, VxlanLink)
    return link


FOREIGN: dict[str, KernelObject] = {
    "static route elsewhere": Route(PEER, "eth1", IPv4Address("198.51.100.1"), proto=4),
    "route of a routing daemon": Route(PEER, "eth0", IPv4Address("192.0.2.254"), proto=186),
    "multipath route": OtherRoute(PEER, "multipath", proto=4),
    "blackhole of our own protocol": OtherRoute(PEER, "blackhole", proto=70),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_route_on_a_wanted_key_is_a_conflict_and_stays(name: str) -> None:
    run = Run(Standing.of([FOREIGN[name]]))
    decision = run.settle(crowd(2))
    assert [conflict.found for conflict in decision.difference.conflicts] == [FOREIGN[name]]
    assert run.standing.objects[FOREIGN[name].key] == FOREIGN[name]
    assert all(op.obj.key != FOREIGN[name].key for op in decision.ops)
    assert run.failures == []


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_route_outlives_its_peer_and_a_cleanup(name: str) -> None:
    run = Run(Standing.of([FOREIGN[name]]))
    run.settle(crowd(2))
    run.settle(world())
    run.read_back()
    run.standing.carry_out(cleanup_ops(run.observed))
    assert {key: obj for key, obj in run.standing.objects.items() if key[0] == "route"} == {
        FOREIGN[name].key: FOREIGN[name]
    }


def test_conflict_blocks_nothing_else_of_the_peers() -> None:
    run = Run(Standing.of([FOREIGN["multipath route"]]))
    run.settle(crowd(2))
    wanted = {key: obj for key, obj in (desired_of(crowd(2)) or {}).items() if obj.key != ("route",)}
    del wanted[FOREIGN["multipath route"].key]
    assert wanted.items() <= run.standing.objects.items()


def test_conflict_ends_when_the_foreign_route_goes() -> None:
    run = Run(Standing.of([FOREIGN["multipath route"]]))
    run.settle(crowd(2))
    del run.standing.objects[FOREIGN["multipath route"].key]
    assert run.settle(crowd(2)).difference.conflicts == ()
    assert agree(run.standing.objects, desired_of(crowd(2)))


@pytest.mark.parametrize("onlink", [False, True])
def test_foreign_route_that_forwards_as_ours_would_satisfies(*, onlink: bool) -> None:
    theirs = Route(PEER, "eth0", IPv4Address("192.0.2.11"), proto=4, onlink=onlink)
    run = Run(Standing.of([theirs]))
    decision = run.settle(world(DIRECT, lease(1)))
    assert decision.difference.conflicts == ()
    assert run.standing.objects[theirs.key] == theirs
    run.settle(world(DIRECT))
    assert run.standing.objects[theirs.key] == theirs


def test_p17_unmarked_device_left_by_flannel_is_adopted_in_place_with_its_mac() -> None:
    """flannel's lease, without a node id, is ours by subnet and address: its MAC is what all peers have."""
    own = replace(lease(0, mac="42:84:f6:70:e1:f3", vni=1, node_id=""), lease_id=77)
    adopted = world(crowd(0).network, lease(1), own=own)  # type: ignore[arg-type]
    left = replace(device(), alias="", mac=Mac.parse("42:84:f6:70:e1:f3"))
    entries = (
        left,
        LinkUp(left.name),
        Address(left.name, ip_interface("10.50.10.0/32")),
        Neighbour(left.name, VTEP, Mac.parse("02:00:00:00:00:01")),
        FdbEntry(left.name, Mac.parse("02:00:00:00:00:01"), IPv4Address("192.0.2.11")),
        Route(PEER, left.name, VTEP, onlink=True, proto=3),
        Route(IPv4Network("10.50.99.0/24"), left.name, IPv4Address("10.50.99.0"), onlink=True, proto=3),
    )
    run = Run(Standing.of(entries))
    first = run.step(adopted)
    assert not [op for op in first.ops if isinstance(op, Delete) and isinstance(op.obj, VxlanLink)]
    assert not [op for op in first.ops if isinstance(op.obj, Neighbour | FdbEntry | Address | LinkUp)]
    assert Put(replace(left, alias=LINK_ALIAS), left) in first.ops
    assert agree(run.standing.objects, desired_of(adopted))
    assert run.failures == []


def test_route_left_by_flannel_gets_our_protocol_number_in_place() -> None:
    theirs = Route(PEER, "flannel.1", VTEP, onlink=True, proto=3)
    run = Run()
    run.step(WORLDS["one peer"])
    run.standing.objects[theirs.key] = theirs
    run.read_back()
    assert run.step(WORLDS["one peer"]).ops == (Put(replace(theirs, proto=70), theirs),)


STRANGERS: dict[str, KernelObject] = {
    "dummy": OtherLink("flannel.1", "dummy"),
    "vxlan of another VNI": VxlanLink(
        **{**{k: getattr(device(), k) for k in VxlanLink.__slots__}, "vni": 99, "alias": ""}
    ),
    "vxlan marked by someone else": replace(device(), alias="hands off"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_foreign_device_under_our_name_is_one_conflict_and_blocks_what_lives_on_it(name: str) -> None:
    stranger = STRANGERS[name]
    on_it: list[KernelObject] = [
        LinkUp("flannel.1"),
        Address("flannel.1", ip_interface("10.50.10.0/32")),
        Neighbour("flannel.1", VTEP, Mac.parse("02:00:00:00:00:99")),
        Route(IPv4Network("172.30.0.0/16"), "flannel.1", proto=4),
    ]
    before = Standing.of([stranger, *on_it])
    run = Run(Standing(dict(before.objects)))
    decision = run.settle(crowd(2))
    assert [conflict.found for conflict in decision.difference.conflicts] == [stranger]
    assert decision.difference.blocked == len(
        [o for o in (desired_of(crowd(2)) or {}).values() if hasattr(o, "link")]
    )
    assert before.objects.items() <= run.standing.objects.items()
    assert run.failures == []


def test_renamed_device_of_ours_is_removed() -> None:
    """By its alias: nobody else will, and its VNI would keep the new one from coming up."""
    renamed = replace(device(), name="renamed0")
    run = Run(Standing.of([renamed, LinkUp("renamed0")]))
    run.step(WORLDS["one peer"])
    assert agree(run.standing.objects, desired_of(WORLDS["one peer"]))


def test_routes_with_our_protocol_over_other_links_are_pruned() -> None:
    direct = Route(IPv4Network("10.50.77.0/24"), "eth0", IPv4Address("192.0.2.77"))
    run = Run(Standing.of([direct]))
    run.step(WORLDS["one peer"])
    assert direct.key not in run.standing.objects


def test_foreign_routes_elsewhere_are_left_alone() -> None:
    elsewhere: list[KernelObject] = [
        Route(IPv4Network("0.0.0.0/0"), "eth0", IPv4Address("192.0.2.1"), proto=16),
        Route(IPv4Network("10.50.77.0/24"), "eth1", proto=4),
        OtherRoute(IPv4Network("10.99.0.0/16"), "unreachable", proto=70),
    ]
    run = Run(Standing.of(elsewhere))
    run.settle(crowd(2))
    run.settle(world())
    assert {obj.key: obj for obj in elsewhere}.items() <= run.standing.objects.items()


@pytest.mark.parametrize(
    ("link", "ours"),
    [
        (device(), True),
        (replace(device(), alias=""), True),
        (replace(device(), alias="", name="flannel-v6.1"), True),
        (replace(device(), alias="", name="flannel.2"), False),
        (replace(device(), alias="", name="vxlan0"), False),
        (replace(device(), alias="other"), False),
        (replace(device(), name="vxlan0"), True),
        (OtherLink("flannel.1", "dummy"), False),
        (OtherLink("flannel.1", "dummy", alias=LINK_ALIAS), False),
    ],
)
def test_link_is_ours_by_name_and_kind(link: VxlanLink | OtherLink, *, ours: bool) -> None:
    assert owns_link(link) is ours
    assert (link.key in split({link.key: link}).owned) is ours


def test_cleanup_removes_exactly_what_is_ours() -> None:
    elsewhere = Route(IPv4Network("10.50.77.0/24"), "eth1", proto=4)
    run = Run(Standing.of([elsewhere]))
    run.step(WORLDS["DirectRouting, one on-link and one routed peer"])
    run.read_back()
    assert run.standing.carry_out(cleanup_ops(run.observed)) == ()
    assert [key for key in run.standing.objects if key[0] != "sysctl"] == [elsewhere.key]


def _claimed(found: Route, *, before: Objects | None = None, desired: Objects | None = None) -> bool:
    observed = claim(split({found.key: found}), before=before or {}, desired=desired or {})
    return found.key in observed.owned


OURS = Route(PEER, "eth0", IPv4Address("192.0.2.11"))
ALTERED = Route(PEER, "eth0", IPv4Address("192.0.2.99"), proto=PROTO_BOOT)


def test_flannel_failure_10_route_replaced_by_hand_is_still_ours() -> None:
    assert _claimed(ALTERED, before={OURS.key: OURS})


def test_route_that_was_there_first_is_foreign_even_if_nobody_signed_it() -> None:
    assert not _claimed(ALTERED)
    assert not _claimed(ALTERED, desired={OURS.key: OURS})


@pytest.mark.parametrize("proto", [2, 4, 11, 12, 16, 186])
def test_route_that_somebody_signed_is_theirs_even_over_ours(proto: int) -> None:
    """kernel, static, zebra, bird, dhcp, bgp: these have an owner who would put it back."""
    assert not _claimed(replace(ALTERED, proto=proto), before={OURS.key: OURS}, desired={OURS.key: OURS})


def test_p17_plain_route_that_flannels_host_gw_left_is_adopted_if_it_does_our_job() -> None:
    left = replace(OURS, proto=PROTO_BOOT)
    assert _claimed(left, desired={OURS.key: OURS})
    assert not _claimed(replace(left, link="eth1"), desired={OURS.key: OURS})


def test_tun_device_that_lost_its_mark_is_ours_with_all_on_it_if_it_was_ours_before() -> None:
    mine, address = TunLink("flannel0", 1472), Address("flannel0", IPv4Interface("10.50.1.0/32"))
    bare = replace(mine, alias="")
    seen = split({bare.key: bare, address.key: address})
    assert seen.owned == {}
    claimed = claim(seen, before={mine.key: mine, address.key: address}, desired={})
    assert claimed.owned == {bare.key: bare, address.key: address}
    assert claimed.foreign == {}


@pytest.mark.parametrize("before", [None, TunLink("flannel0", 1400)])
def test_unmarked_tun_device_that_was_not_ours_is_left_to_flannel(before: TunLink | None) -> None:
    bare = TunLink("flannel0", 1472, alias="")
    known = {} if before is None else {before.key: before}
    assert claim(split({bare.key: bare}), before=known, desired={}).owned == {}
