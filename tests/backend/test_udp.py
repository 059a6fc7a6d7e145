"""The udp backend: its objects, what its lease says, and the brake, gates and lines of a tunnel's table."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from flanpy.backend import choice
from flanpy.backend.registry import validate_network
from flanpy.backend.udp import UdpBackend
from flanpy.errors import ConfigError
from flanpy.model.address import Family
from flanpy.model.facts import HostRoute
from flanpy.model.network.config import parse_network_config
from flanpy.model.objects import (
    Address,
    HostSysctl,
    LinkSysctl,
    LinkUp,
    OtherLink,
    Route,
    TunLink,
    TunnelEnd,
    TunnelPeer,
)
from flanpy.model.ops import Delete, Put
from flanpy.model.world import World
from flanpy.plan.decision import decide
from flanpy.plan.diff import cleanup_ops, diff, objects_by_key
from flanpy.plan.ownership import Observed, split
from flanpy.plan.render import render
from flanpy.store.port import KeyValue
from flanpy.store.schema import decode_lease, encode_record
from tests.plan.pipeline import desired_of
from tests.states import DUAL, FACTS, V4, as_backend, crowd, lease, options, view, world

BACKEND = UdpBackend()
ONE = as_backend("udp", crowd(1))
END = TunnelEnd(
    link="flannel0",
    underlay="eth0",
    local=IPv4Address("192.0.2.10"),
    port=8285,
    mtu=1472,
    own=IPv4Network("10.50.10.0/24"),
)
PEER = TunnelPeer("flannel0", IPv4Network("10.50.11.0/24"), IPv4Address("192.0.2.11"))


def _fast(one: World, *, ours: bool = True, theirs: bool = True) -> World:
    """The world in which we, and all peers, have the in-kernel plane or not."""
    leases = [
        replace(lease, record=replace(lease.record, fast_path=theirs)) for lease in one.view.leases.values()
    ]
    return replace(one, policy=replace(one.policy, fast_path=ours), view=view(leases))


def test_device_stands_as_flannels_and_every_peer_has_one_place_in_the_table() -> None:
    assert list((desired_of(ONE) or {}).values()) == [
        TunLink("flannel0", 1472),
        LinkSysctl(Family.IPV4, "flannel0", "rp_filter", "2"),
        LinkSysctl(Family.IPV4, "flannel0", "proxy_arp", "0"),
        LinkSysctl(Family.IPV4, "flannel0", "forwarding", "1"),
        LinkSysctl(Family.IPV4, "flannel0", "accept_local", "1"),
        Address("flannel0", IPv4Interface("10.50.10.0/32")),
        LinkUp("flannel0"),
        END,
        Route(IPv4Network("10.50.0.0/16"), "flannel0", metric=100),
        HostSysctl("net.ipv4.ip_forward", "1"),
        PEER,
    ]
    assert choice.links(ONE) == frozenset({"flannel0"})


def test_network_config_without_backend_is_udp() -> None:
    network = parse_network_config('{"Network": "172.18.0.0/16"}')
    assert network.backend_type == "udp"
    validate_network(network)


@pytest.mark.parametrize(("given", "port"), [({}, 8285), ({"port": 0}, 8285), ({"port": 9000}, 9000)])
def test_port_is_flannels_unless_given(given: dict[str, object], port: int) -> None:
    one = replace(ONE, network=options(as_backend("udp", ONE).network or V4, **given))
    (end,) = [obj for obj in (desired_of(one) or {}).values() if isinstance(obj, TunnelEnd)]
    assert end.port == port


@pytest.mark.parametrize("value", [-1, 65536, "8285", True])
def test_port_that_is_none_is_refused_by_name_and_value(value: object) -> None:
    with pytest.raises(ConfigError, match=r"Backend\.Port of udp is"):
        BACKEND.validate({"port": value})


def test_network_with_ipv6_is_refused_with_what_to_use_instead() -> None:
    with pytest.raises(ConfigError, match=r"'udp', which carries IPv4 only.*fd50::/48.*vxlan"):
        validate_network(replace(DUAL, backend_type="udp"))


def test_mtu_is_the_underlays_without_the_outer_headers() -> None:
    assert BACKEND.mtu(ONE) == 1472
    jumbo = replace(FACTS.underlay, mtu=9000) if FACTS.underlay else None
    assert BACKEND.mtu(replace(ONE, facts=replace(FACTS, underlay=jumbo))) == 8972


def test_lease_is_byte_for_byte_flannels_but_for_our_own_fields() -> None:
    record = BACKEND.advertise(ONE)
    assert record is not None
    assert encode_record(record) == b'{"PublicIP":"192.0.2.10","PublicIPv6":null,"NodeID":"node-0"}'
    fast = BACKEND.advertise(_fast(ONE))
    assert fast is not None
    assert encode_record(fast).endswith(b'"NodeID":"node-0","FastPath":true}')


@pytest.mark.parametrize("fast", [True, False])
def test_fast_path_in_a_lease_is_read_as_it_was_written(fast: bool) -> None:
    record = replace(lease(1).record, backend_type="", backend_data=None, fast_path=fast)
    kv = KeyValue("/p/subnets/10.50.11.0-24", encode_record(record), 1, 1, 1, 1)
    found = decode_lease(kv, "/p/subnets/")
    assert getattr(found, "record", found) == record


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("theirs", [True, False])
def test_peer_is_fast_only_if_both_ends_have_the_in_kernel_plane(ours: bool, theirs: bool) -> None:
    wanted = (desired_of(_fast(ONE, ours=ours, theirs=theirs)) or {}).values()
    assert [obj.fast for obj in wanted if isinstance(obj, TunnelPeer)] == [ours and theirs]
    assert [obj.fast for obj in wanted if isinstance(obj, TunnelEnd)] == [ours]


def test_peer_that_changes_its_plane_is_replaced_in_place() -> None:
    before = objects_by_key((desired_of(_fast(ONE, theirs=False)) or {}).values())
    after = desired_of(_fast(ONE)) or {}
    (op,) = diff(after, Observed(dict(before))).ops
    assert render(op) == "tunnel peer replace 10.50.11.0/24 via 192.0.2.11 dev flannel0 fast"


def test_lines_say_what_is_done() -> None:
    ops = diff(desired_of(ONE) or {}, Observed()).ops
    assert [render(op) for op in ops] == [
        "ip tuntap add flannel0 mode tun multi_queue vnet_hdr && ip link set flannel0 mtu 1472 alias flanpy",
        "sysctl -w net.ipv4.conf.flannel0.rp_filter=2",
        "sysctl -w net.ipv4.conf.flannel0.proxy_arp=0",
        "sysctl -w net.ipv4.conf.flannel0.forwarding=1",
        "sysctl -w net.ipv4.conf.flannel0.accept_local=1",
        "ip address add 10.50.10.0/32 dev flannel0",
        "ip link set flannel0 up",
        "tunnel add dev flannel0 underlay eth0 local 192.0.2.10 port 8285 subnet 10.50.10.0/24 mtu 1472 plane user",
        "tunnel peer add 10.50.11.0/24 via 192.0.2.11 dev flannel0",
        "ip route add 10.50.0.0/16 dev flannel0 proto 70 metric 100",
        "sysctl -w net.ipv4.ip_forward=1",
    ]
    smaller = Put(TunLink("flannel0", 1400), TunLink("flannel0", 1472))
    assert render(smaller) == "ip link set flannel0 mtu 1400"


def test_what_is_wanted_settles() -> None:
    wanted = desired_of(ONE) or {}
    assert diff(wanted, split(wanted)).ops == ()


def test_everything_is_removed_by_a_cleanup_the_tunnel_too() -> None:
    ops = cleanup_ops(split(desired_of(ONE) or {}))
    assert [type(op.obj) for op in ops] == [TunnelEnd, TunnelPeer, TunLink]


def test_device_of_somebody_else_blocks_the_tunnel_and_is_a_conflict() -> None:
    wanted = desired_of(ONE) or {}
    for foreign in (TunLink("flannel0", 1472, alias=""), OtherLink("flannel0", "dummy")):
        difference = diff(wanted, split({foreign.key: foreign}))
        assert [conflict.found for conflict in difference.conflicts] == [foreign]
        assert [type(put.obj) for put in difference.puts] == [HostSysctl]
        assert not difference.deletes


def test_device_without_several_queues_is_made_anew() -> None:
    wanted = desired_of(ONE) or {}
    old = {**wanted, ("link", "flannel0"): TunLink("flannel0", 1472, multi_queue=False)}
    ops = diff(wanted, split(old)).ops
    assert isinstance(ops[0], Delete)
    assert [type(op.obj) for op in ops[:2]] == [TunLink, TunLink]
    assert Route in {type(op.obj) for op in ops}


def test_brake_holds_peers_of_a_tunnel_like_routes() -> None:
    many = as_backend("udp", crowd(30))
    standing = split(desired_of(many) or {})
    alone = as_backend("udp", world(V4))
    decision = decide(alone, desired_of(alone), standing)
    assert decision.hold is not None
    assert decision.hold.peers == 30
    assert not [op for op in decision.ops if isinstance(op, Delete)]
    released = decide(
        replace(alone, view=replace(alone.view, listings=2)), desired_of(alone), standing, held=decision.hold
    )
    assert sum(isinstance(op, Delete) for op in released.ops) == 30


def test_nothing_of_the_tunnel_is_deleted_before_leases_were_listed() -> None:
    unlisted = replace(ONE, view=view([], listings=0))
    decision = decide(unlisted, desired_of(unlisted), split(desired_of(ONE) or {}))
    assert decision.ops == ()
    assert decision.gate is not None


def test_peer_behind_another_link_is_left_to_the_plane_that_asks_the_routing_table() -> None:
    world = _fast(ONE)
    elsewhere = HostRoute(IPv4Network("192.0.2.11/32"), "eth1", None)
    moved = replace(world, facts=replace(world.facts, routes=(*world.facts.routes, elsewhere)))
    nowhere = replace(world, facts=replace(world.facts, routes=()))
    assert [_planes(each) for each in (world, moved, nowhere)] == [[True], [False], [False]]


def _planes(world: World) -> list[bool]:
    return [obj.fast for obj in (desired_of(world) or {}).values() if isinstance(obj, TunnelPeer)]
