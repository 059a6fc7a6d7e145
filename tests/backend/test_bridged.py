"""The objects of named networks: a device in Docker's bridge, and one flood entry for each other member."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address

from flanpy.backend import choice
from flanpy.backend.bridged import objects, segment
from flanpy.backend.host_objects import HostObjects
from flanpy.daemon.host_files import device_failed
from flanpy.errors import KernelError
from flanpy.model.bridge import is_named_port
from flanpy.model.lease import LeaseView
from flanpy.model.networks.view import Joined, NamedView
from flanpy.model.objects import BridgePort, FloodEntry, LinkUp, VxlanLink
from flanpy.model.ops import OpFailure, Put
from flanpy.model.world import Former, World
from flanpy.plan.admission import admit
from flanpy.plan.decision import decide
from flanpy.plan.ownership import Observed, is_of_named_network
from flanpy.plan.render import describe, render
from flanpy.reconcile.outcome import Pass
from tests.model.test_named_networks import SHOP
from tests.states import as_backend, crowd

MEMBERS = (IPv4Address("192.0.2.77"), IPv4Address("192.0.2.78"))
ON_SHOP = Joined(SHOP, IPv4Network("10.96.3.0/24"), (*MEMBERS, IPv6Address("2001:db8::9")))


def joined(world: World, *, bridge: bool = True) -> World:
    facts = replace(world.facts, bridges=frozenset({ON_SHOP.bridge} if bridge else ()))
    return replace(world, named=NamedView((ON_SHOP,)), facts=facts)


def planned(world: World) -> set[object]:
    return set((choice.plan(world, ()) or {}).values())


def test_device_stands_in_dockers_bridge_and_floods_to_the_other_members() -> None:
    world = crowd(2)
    new = planned(joined(world)) - planned(world)
    (link,) = [obj for obj in new if isinstance(obj, VxlanLink)]
    assert (link.name, link.vni, link.mtu, link.learning) == ("fv-10001", SHOP.vni, SHOP.mtu, True)
    flat = next(obj for obj in planned(world) if isinstance(obj, VxlanLink))
    assert (link.port, link.parent, link.local) == (flat.port, flat.parent, flat.local)
    assert link.mac != flat.mac
    assert {BridgePort("fv-10001", "fb-10001"), LinkUp("fv-10001")} < new
    assert {obj.destination for obj in new if isinstance(obj, FloodEntry)} == set(MEMBERS)
    assert choice.links(joined(world)) == choice.links(world) | {"fv-10001"}


def flat_with(world: World, backend: str, **options: object) -> World:
    assert world.network is not None
    return replace(world, network=replace(world.network, backend_type=backend, backend_options=options))


def device(world: World, port: int) -> VxlanLink:
    mine = replace(ON_SHOP, network=replace(SHOP, port=port))
    world = replace(world, named=NamedView((mine,)))
    told = segment(world, mine.port)
    (link,) = [obj for obj in objects(world) if isinstance(obj, VxlanLink)]
    assert told is not None
    assert told.port == link.port
    return link


def test_device_keeps_its_port_whatever_the_overlay_moves_to() -> None:
    world = joined(crowd(2))
    kept = [device(flat_with(world, *backend), 4789) for backend in (("vxlan",), ("host-gw",), ("udp",))]
    kept.append(device(flat_with(world, "vxlan", port=9999), 4789))
    assert {link.port for link in kept} == {4789}
    assert len(set(kept)) == 1


def test_device_of_a_definition_without_a_port_follows_the_overlay() -> None:
    world = joined(crowd(2))
    assert device(flat_with(world, "vxlan", port=9999), 0).port == 9999
    assert device(flat_with(world, "host-gw"), 0).port == 8472


def test_device_expects_the_extension_where_it_shares_the_overlays_socket() -> None:
    gbp = flat_with(joined(crowd(2)), "vxlan", gbp=True)
    assert device(gbp, 8472).gbp
    assert not device(gbp, 4789).gbp


def test_device_waits_beside_while_docker_has_no_bridge() -> None:
    objects = planned(joined(crowd(2), bridge=False))
    assert not any(isinstance(obj, BridgePort) for obj in objects)
    assert LinkUp("fv-10001") in objects


def test_own_address_is_no_member() -> None:
    world = joined(crowd(2))
    mine = replace(world, facts=replace(world.facts, addresses=frozenset(MEMBERS[:1])))
    assert {obj.destination for obj in planned(mine) if isinstance(obj, FloodEntry)} == {MEMBERS[1]}


def test_nothing_of_named_networks_is_deleted_before_they_were_listed_and_all_else_is() -> None:
    before, now = joined(crowd(2)), crowd(1)
    observed = Observed(dict(choice.plan(before, before.view.leases.values()) or {}))
    desired = choice.plan(now, now.view.leases.values())
    told = decide(now, desired, observed)
    waiting = decide(replace(now, named=NamedView(listed=False)), desired, observed)
    named = {op.obj.key for op in told.ops if is_named_port(str(op.obj.key[1]))}
    assert named == {("link", "fv-10001")}
    assert {op.obj.key for op in told.ops} - {op.obj.key for op in waiting.ops} == named
    assert len(waiting.ops) > 0
    assert told.settles
    assert not waiting.settles


def test_objects_are_described_in_iproute2s_words() -> None:
    port, flood = BridgePort("fv-10001", "fb-10001"), FloodEntry("fv-10001", MEMBERS[0])
    assert render(Put(port)) == "ip link set fv-10001 master fb-10001"
    assert "bridge fdb append 00:00:00:00:00:00 dev fv-10001 dst 192.0.2.77" in render(Put(flood))
    assert describe(flood).startswith("bridge fdb show")


def test_failed_device_of_a_named_network_keeps_no_host_from_its_peers() -> None:
    world = joined(crowd(2))
    failed = [
        OpFailure(Put(obj), KernelError("no"))
        for obj in (choice.plan(world, ()) or {}).values()
        if isinstance(obj, VxlanLink)
    ]
    flat, named = sorted(failed, key=lambda failure: is_of_named_network(failure.op.obj))
    outcome = Pass(1, world, admit(world), decide(world, {}, Observed()))
    for failure, keeps in ((named, False), (flat, True)):
        one = replace(outcome, failures=(failure,))
        assert (one.kept_from_peers, device_failed(one)) == (keeps, keeps)


def tunnelled(world: World) -> World:
    """The members are hosts of the overlay, whose backend is wireguard."""
    made = as_backend("wireguard", world)
    here = replace(made, policy=replace(made.policy, wireguard_key="a key"))
    publics = tuple(lease.record.public_ip for lease in here.view.leases.values() if lease.record.public_ip)
    mine = replace(ON_SHOP, members=(*publics, IPv4Address("192.0.2.99")))  # the last is not in the overlay
    return replace(here, named=NamedView((mine,)))


def test_named_network_goes_through_the_tunnel_of_wireguard_between_overlay_addresses() -> None:
    world = tunnelled(crowd(2))
    found = list(objects(world))
    (link,) = [obj for obj in found if isinstance(obj, VxlanLink)]
    assert (link.parent, link.local) == ("flannel-wg", IPv4Address("10.50.10.0"))
    others = [obj.destination for obj in found if isinstance(obj, FloodEntry)]
    assert others == [IPv4Address("10.50.11.0"), IPv4Address("10.50.12.0")]
    told = segment(world, ON_SHOP.port)
    assert told is not None
    assert (told.local, list(told.members)) == (link.local, others)


def test_named_network_stays_on_the_underlay_while_hosts_move_to_or_from_wireguard() -> None:
    before, after = crowd(2), tunnelled(crowd(2))
    assert before.network is not None
    assert before.own is not None
    on_the_way = replace(after, former=Former(before.network, before.own.record))
    (link,) = [obj for obj in objects(on_the_way) if isinstance(obj, VxlanLink)]
    assert link.parent == "eth0"


def test_recalled_objects_follow_the_hosts_of_a_named_network_in_the_tunnel() -> None:
    world = tunnelled(crowd(2))
    recalled = HostObjects()
    empty = recalled.of(replace(world, view=LeaseView()))
    assert not [obj for obj in empty if isinstance(obj, FloodEntry)]
    there = recalled.of(world)
    assert len([obj for obj in there if isinstance(obj, FloodEntry)]) == 2
    assert recalled.of(replace(world)) is there
