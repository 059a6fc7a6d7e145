"""The ipip backend: its objects, what its lease says, its lines, and what is taken over from flannel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from flanpy.backend import choice
from flanpy.backend.ipip import IpipBackend
from flanpy.backend.registry import validate_network
from flanpy.backend.way import WayKind
from flanpy.errors import ConfigError
from flanpy.model.address import Family
from flanpy.model.ipip import IpipLink
from flanpy.model.objects import Address, HostSysctl, LinkSysctl, LinkUp, OtherLink, Route, VxlanLink
from flanpy.model.ops import Delete, Put
from flanpy.plan.admission import admit
from flanpy.plan.diff import cleanup_ops, diff, objects_by_key
from flanpy.plan.ownership import Observed, split
from flanpy.plan.render import describe, render
from flanpy.store.port import KeyValue
from flanpy.store.schema import decode_lease, encode_record
from tests.plan.pipeline import desired_of
from tests.states import (
    DUAL,
    FACTS,
    ROUTED,
    V4,
    as_backend,
    crowd,
    lease,
    moved,
    moving,
    options,
    world,
)

BACKEND = IpipBackend()
ONE = as_backend("ipip", crowd(1))
LINK = IpipLink("flannel.ipip", IPv4Address("192.0.2.10"), 1480)
PEER = Route(IPv4Network("10.50.11.0/24"), "flannel.ipip", IPv4Address("192.0.2.11"), onlink=True)


def test_device_stands_as_flannels_and_the_gateway_to_a_peer_is_the_tunnels_far_end() -> None:
    assert list((desired_of(ONE) or {}).values()) == [
        LINK,
        LinkSysctl(Family.IPV4, "flannel.ipip", "rp_filter", "2"),
        LinkSysctl(Family.IPV4, "flannel.ipip", "proxy_arp", "0"),
        LinkSysctl(Family.IPV4, "flannel.ipip", "forwarding", "1"),
        Address("flannel.ipip", IPv4Interface("10.50.10.0/32")),
        LinkUp("flannel.ipip"),
        HostSysctl("net.ipv4.ip_forward", "1"),
        PEER,
    ]
    assert choice.links(ONE) == frozenset({"flannel.ipip"})


def test_direct_routing_goes_around_the_tunnel_where_no_gateway_is_in_between() -> None:
    seen = as_backend("ipip", world(options(V4, directrouting=True), lease(1), ROUTED))
    routes = [obj for obj in (desired_of(seen) or {}).values() if isinstance(obj, Route)]
    assert [(str(route.destination), route.link, str(route.gateway), route.onlink) for route in routes] == [
        ("10.50.11.0/24", "eth0", "192.0.2.11", False),
        ("10.50.13.0/24", "flannel.ipip", "198.51.100.3", True),
    ]
    way = BACKEND.ways(seen)
    kinds = {peer.record.node_id: way(peer).kinds for peer in admit(seen).peers}
    assert kinds == {"node-1": (WayKind.DIRECT,), "node-3": (WayKind.TUNNEL,)}


def test_without_direct_routing_every_peer_is_reached_by_the_tunnel() -> None:
    (peer,) = admit(ONE).peers
    assert BACKEND.ways(ONE)(peer).kinds == (WayKind.TUNNEL,)


@pytest.mark.parametrize("value", ["true", 1, None, []])
def test_option_that_is_no_switch_is_refused_by_name_and_value(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Backend\.DirectRouting of ipip is .*: give true or false"):
        BACKEND.validate({"directrouting": value})


def test_network_with_ipv6_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ConfigError, match=r"'ipip', which carries IPv4 only.*fd50::/48.*vxlan"):
        validate_network(replace(DUAL, backend_type="ipip"))


def test_mtu_is_the_underlays_without_one_header() -> None:
    assert BACKEND.mtu(ONE) == 1480
    jumbo = replace(ONE, facts=moved(mtu=9000))
    assert BACKEND.mtu(jumbo) == 8980
    assert [obj.mtu for obj in (desired_of(jumbo) or {}).values() if isinstance(obj, IpipLink)] == [8980]


def test_lease_is_byte_for_byte_flannels_but_for_our_own_fields_and_is_read_as_it_was_written() -> None:
    record = BACKEND.advertise(ONE)
    assert record is not None
    value = encode_record(record)
    assert value == b'{"PublicIP":"192.0.2.10","PublicIPv6":null,"BackendType":"ipip","NodeID":"node-0"}'
    found = decode_lease(KeyValue("/p/subnets/10.50.11.0-24", value, 1, 1, 1, 1), "/p/subnets/")
    assert getattr(found, "record", found) == record


def test_lines_say_what_is_done() -> None:
    assert [render(op) for op in diff(desired_of(ONE) or {}, Observed()).ops] == [
        "ip link add flannel.ipip mtu 1480 alias flanpy type ipip local 192.0.2.10 remote any nopmtudisc",
        "sysctl -w net.ipv4.conf.flannel/ipip.rp_filter=2",
        "sysctl -w net.ipv4.conf.flannel/ipip.proxy_arp=0",
        "sysctl -w net.ipv4.conf.flannel/ipip.forwarding=1",
        "ip address add 10.50.10.0/32 dev flannel.ipip",
        "ip link set flannel.ipip up",
        "ip route add 10.50.11.0/24 via 192.0.2.11 dev flannel.ipip onlink proto 70",
        "sysctl -w net.ipv4.ip_forward=1",
    ]
    assert render(Delete(LINK)) == "ip link del flannel.ipip"
    assert describe(LINK) == "ip link show flannel.ipip"


def test_address_mtu_and_mark_change_in_place() -> None:
    old = IpipLink("flannel.ipip", IPv4Address("192.0.2.77"), 1400, alias="")
    (op,) = diff(objects_by_key([LINK]), split({old.key: old})).ops
    assert op == Put(LINK, old)
    assert render(op) == (
        "ip link set flannel.ipip mtu 1480 alias flanpy type ipip local 192.0.2.10 remote any nopmtudisc"
    )


def test_device_that_flannel_left_is_adopted_and_another_kind_under_its_name_is_a_conflict() -> None:
    wanted = desired_of(ONE) or {}
    left = replace(LINK, alias="")
    assert diff(wanted, split({**wanted, LINK.key: left})).ops == (Put(LINK, left),)
    for foreign in (
        OtherLink("flannel.ipip", "ipip"),
        replace(LINK, alias="somebody"),
        IpipLink("tunl0", IPv4Address(0), 1480, alias=""),
    ):
        assert split({foreign.key: foreign}).owned == {}
    stranger = OtherLink("flannel.ipip", "dummy")
    difference = diff(wanted, split({stranger.key: stranger}))
    assert [conflict.found for conflict in difference.conflicts] == [stranger]
    assert not difference.deletes


def test_what_is_wanted_settles_and_goes_whole_by_a_cleanup() -> None:
    wanted = desired_of(ONE) or {}
    assert diff(wanted, split(wanted)).ops == ()
    assert [type(op.obj) for op in cleanup_ops(split(wanted))] == [IpipLink]


def test_move_from_vxlan_keeps_both_devices_until_all_came_along() -> None:
    seen = moving(crowd(2), as_backend("ipip", crowd(2)), 2)
    wanted = (desired_of(seen) or {}).values()
    assert {type(obj) for obj in wanted if isinstance(obj, VxlanLink | IpipLink)} == {VxlanLink, IpipLink}
    assert choice.overlay_links(seen) == frozenset({"flannel.1", "flannel.ipip"})


def test_nothing_is_planned_without_underlay_or_lease() -> None:
    assert BACKEND.planner(replace(ONE, own=None)) is None
    assert BACKEND.planner(replace(ONE, facts=replace(FACTS, underlay=None))) is None
    assert BACKEND.mtu(replace(ONE, facts=replace(FACTS, underlay=None))) == 0
