"""The edges of gates, brake, decision, allowed ranges and taken space, each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from types import MappingProxyType

import pytest

from flanpy.errors import ConfigError
from flanpy.model.address import Family, IPNetwork, Mac
from flanpy.model.lease import SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import ExtensionPeer, KernelObject, Key, Route, TunnelPeer, VxlanLink
from flanpy.model.ops import Delete, Put
from flanpy.plan.allowed import believed, refuse_outside
from flanpy.plan.decision import Decision, decide
from flanpy.plan.diff import Difference, objects_by_key
from flanpy.plan.gates import BRAKE_COUNT, Gate, Hold, brake, closed_gate
from flanpy.plan.ownership import Observed
from flanpy.plan.space import Space, Vtep
from tests.states import V4, crowd, lease, view, world

NONE: MappingProxyType[Key, KernelObject] = MappingProxyType({})


def route(number: int) -> Route:
    return Route(IPv4Network(f"10.50.{number}.0/24"), "flannel.1")


def extension(number: int, *, six: bool = True) -> ExtensionPeer:
    subnet6 = IPv6Network(f"fd50:0:0:{number:x}::/64") if six else None
    return ExtensionPeer(SubnetKey(IPv4Network(f"10.50.{number}.0/24"), subnet6), (), "", ("add",), ("del",))


# The brake


def braked(
    gone: Sequence[KernelObject], staying: Sequence[KernelObject] = (), **more: object
) -> tuple[int, int] | None:
    """Return how many peers of how many the brake holds; `more` are fields of the view."""
    owned = {obj.key: obj for obj in (*gone, *staying)}
    hold = brake([Delete(obj) for obj in gone], owned, replace(view([]), **more), held=None)  # type: ignore[arg-type]
    return None if hold is None else (hold.peers, hold.present)


ELEVEN = [route(number) for number in range(BRAKE_COUNT + 1)]


def test_brake_counts_more_than_ten_and_more_than_half() -> None:
    assert braked(ELEVEN[:-1]) is None
    assert braked(ELEVEN) == (11, 11)
    assert braked(ELEVEN, [route(number) for number in range(100, 111)]) is None
    assert braked(ELEVEN, [route(number) for number in range(100, 110)]) == (11, 21)


def test_brake_counts_peers_of_every_backend_once() -> None:
    tunnels = [
        TunnelPeer("flannel0", one.destination, IPv4Address("192.0.2.1"))  # type: ignore[arg-type]
        for one in ELEVEN
    ]
    assert braked(tunnels) == (11, 11)
    assert braked([*tunnels, *ELEVEN]) == (11, 11)
    assert braked(tunnels, ELEVEN) is None  # a route still leads there
    assert braked([extension(number) for number in range(11)]) == (11, 11)
    assert braked([*(extension(number, six=number < 3) for number in range(11))]) == (11, 11)


def test_object_leads_to_the_subnets_that_it_has() -> None:
    assert extension(7).destinations == (IPv4Network("10.50.7.0/24"), IPv6Network("fd50:0:0:7::/64"))
    assert extension(7, six=False).destinations == (IPv4Network("10.50.7.0/24"),)


@pytest.mark.parametrize(
    ("deletions", "held"),
    [
        ({f"10.50.{number}.0-24": 5 for number in range(10)}, False),
        ({f"10.50.{number}.0-24": 5 for number in range(11)}, True),
        ({f"10.50.{number}.0-24": number for number in range(11)}, False),
        ({"10.50.0.0-24&fd50::-64": 5}, False),
        ({"fd50::-64": 5, "no subnet": 6, "10.50.0.0-99": 7}, True),
    ],
)
def test_deletion_is_explained_by_an_event_of_its_own_and_not_by_one_for_many(
    deletions: dict[str, int], *, held: bool
) -> None:
    assert (braked(ELEVEN, deletions=deletions) is not None) == held


def test_brake_of_an_etcd_that_lost_data_holds_even_one_peer_but_not_what_is_explained() -> None:
    assert braked(ELEVEN[:1], ELEVEN[1:], rewound=1) == (1, 11)
    assert braked(ELEVEN[:1], ELEVEN[1:], rewound=1, deletions={"10.50.0.0-24": 5}) is None
    assert braked([], ELEVEN, rewound=1) is None


def test_subnets_that_this_host_withholds_are_not_counted() -> None:
    owned = {obj.key: obj for obj in ELEVEN}
    deletes = [Delete(obj) for obj in ELEVEN]
    assert brake(deletes, owned, view([]), held=None, withheld={ELEVEN[0].destination}) is None


def test_hold_keeps_the_listing_that_did_not_suffice() -> None:
    owned, deletes = {obj.key: obj for obj in ELEVEN}, [Delete(obj) for obj in ELEVEN]
    first = Hold(11, 11, 3)
    assert brake(deletes, owned, view([], listings=4, stale=True), held=first) == first
    assert brake(deletes, owned, view([], listings=4), held=first) is None
    assert brake(deletes, owned, view([], listings=4), held=None) == Hold(11, 11, 4)


def test_gate_is_closed_without_a_lease_whatever_was_confirmed() -> None:
    shut = replace(crowd(1), own=None, own_confirmed=True)
    assert closed_gate(shut, trusted=True) is Gate.OWN_LEASE_UNCONFIRMED


# The decision


@pytest.mark.parametrize(
    ("decision", "settles"),
    [
        (Decision(NONE), True),
        (Decision(None), False),
        (Decision(NONE, gate=Gate.KERNEL_NOT_READ), False),
        (Decision(NONE, hold=Hold(11, 11, 1)), False),
        (Decision(NONE, Difference(blocked=1)), False),
    ],
)
def test_decision_settles_when_nothing_is_held_back(decision: Decision, *, settles: bool) -> None:
    assert decision.settles is settles


def test_decision_without_a_plan_keeps_gate_and_hold() -> None:
    hold = Hold(11, 11, 1)
    found = decide(replace(crowd(1), own_confirmed=False), None, Observed(), held=hold)
    assert (found.gate, found.hold, found.ops) == (Gate.OWN_LEASE_UNCONFIRMED, hold, ())


def test_device_that_only_a_new_one_could_serve_stays_as_it_is_while_the_gate_is_shut() -> None:
    one = VxlanLink(
        "flannel.1", 1, 8472, "eth0", IPv4Address("192.0.2.10"), Mac.parse("02:00:00:00:00:01"), 1450
    )
    wanted, shut = replace(one, port=4789), replace(crowd(1), own_confirmed=False)
    desired, observed = objects_by_key([wanted, route(11)]), Observed({one.key: one})
    assert decide(shut, desired, observed).ops == (Put(route(11)),)
    assert decide(crowd(1), desired, observed).ops == (Delete(one), Put(wanted), Put(route(11)))


def test_decision_looks_only_at_what_is_said_to_have_changed() -> None:
    desired = {one.key: one for one in (route(11), route(12))}
    assert decide(crowd(1), desired, Observed(), changed=(route(12).key,)).ops == (Put(route(12)),)


# Allowed ranges


def of(range_: IPNetwork) -> NetworkConfig:
    """Return a config of this one range."""
    if isinstance(range_, IPv4Network):
        return replace(V4, network=range_)
    return replace(V4, network=None, network6=range_)


@pytest.mark.parametrize(
    ("range_", "allowed"),
    [
        ("10.50.0.0/16", True),
        ("10.50.0.0/20", True),
        ("10.48.0.0/12", False),
        ("10.50.0.0/15", False),
        ("10.51.0.0/16", False),
        ("::a32:0/112", False),
    ],
)
def test_range_is_allowed_when_it_lies_in_one_that_the_operator_named(range_: str, *, allowed: bool) -> None:
    network = ip_network(range_)
    config = of(network)
    if allowed:
        refuse_outside(config, (ip_network("10.50.0.0/16"),))
        return
    with pytest.raises(ConfigError, match=f"set allowed-network to {range_}"):
        refuse_outside(config, (ip_network("10.50.0.0/16"),))


def test_first_range_is_named_where_there_is_one() -> None:
    config = replace(V4, network=IPv4Network("203.0.113.0/24"))
    with pytest.raises(ConfigError) as alone:
        refuse_outside(config, ())
    assert "first config" not in str(alone.value)
    with pytest.raises(ConfigError, match=r"and 198\.51\.100\.0/24 of its first config"):
        refuse_outside(config, (), (ip_network("198.51.100.0/24"),))


@pytest.mark.parametrize(
    ("range_", "taken"),
    [
        ("30.0.0.0/8", True),
        ("30.0.0.0/7", False),
        ("127.5.0.0/16", False),
        ("230.0.0.0/16", False),
        ("2001::/16", True),
        ("2000::/15", False),
        ("fe80::/16", False),
        ("::/16", False),
        ("7f00::/16", True),  # the number of 127.0.0.0/8 in the other family
    ],
)
def test_first_config_is_believed_up_to_a_width(range_: str, *, taken: bool) -> None:
    network: IPNetwork = ip_network(range_)
    config = of(network)
    assert believed(config) == ((network,) if taken else ())


# Taken space


def test_withheld_leases_do_not_make_a_mass() -> None:
    crowded = [lease(number) for number in range(1, BRAKE_COUNT + 2)]
    observed = Observed({one.key: one for one in ELEVEN})
    seen = replace(world(V4, *crowded), withheld=frozenset())
    assert decide(seen, NONE, observed).hold == Hold(11, 11, 1)
    claim = (SubnetKey(ELEVEN[0].destination), lease(1).record)  # type: ignore[arg-type]
    assert decide(replace(seen, withheld=frozenset({claim})), NONE, observed).hold is None


def test_released_range_and_its_public_address_are_free_again() -> None:
    space = Space(Family.IPV4)
    for start, public in ((10, 500), (30, 400), (50, 400)):
        space.take(start, start + 9, lease(start), public)
    space.release(30, 400)
    assert [space.at(number) >= 0 for number in (15, 35, 55)] == [True, False, True]
    assert space.owners == [lease(10), lease(50)]
    assert space.publics == [400, 500]


def test_space_finds_ranges_by_their_first_and_last_numbers() -> None:
    space = Space(Family.IPV4)
    space.take(10, 19, None, 500)
    space.take(30, 39, None, 400)
    assert [space.at(number) >= 0 for number in (9, 10, 19, 20, 29, 30, 39, 40)] == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert {space.at(9), space.overlapped(0, 9), space.overlapped(20, 29)} == {-1}
    assert [space.overlapped(*ends) for ends in ((0, 10), (19, 25), (15, 16), (39, 50))] == [0, 0, 0, 1]
    assert [space.covered_public(*ends) for ends in ((400, 400), (401, 499), (500, 600), (0, 399))] == [
        True, False, True, False,
    ]  # fmt: skip


def test_mac_of_several_leases_at_one_address_is_free_after_the_last() -> None:
    space, mac = Space(Family.IPV4), b"123456"
    for owner in (lease(1), lease(2), lease(3)):
        space.take_mac(mac, owner, 7)
    assert space.elsewhere(mac, 8) == Vtep(lease(1), 7, 3)
    assert space.elsewhere(mac, 7) is None
    for left in (2, 1):
        space.release_mac(mac)
        assert space.elsewhere(mac, 8) == Vtep(lease(1), 7, left)
    space.release_mac(mac)
    assert space.elsewhere(mac, 8) is None


def test_guests_are_those_at_other_addresses_and_each_leaves_alone() -> None:
    space, mac = Space(Family.IPV4), b"123456"
    for number in (1, 2, 3):
        space.take_guest(mac, lease(number), number)
    assert space.guests_elsewhere(mac, 2) == [lease(1), lease(3)]
    space.release_guest(mac, 1)
    assert space.guests_elsewhere(mac, 9) == [lease(2), lease(3)]
    space.release_guest(mac, 3)
    space.release_guest(mac, 2)
    assert space.guests == {}


def test_withheld_leases_go_through_every_gate_and_brake_with_only_their_own_routes() -> None:
    theirs = lease(1)
    assert theirs.key.subnet is not None
    seen = replace(world(V4, lease(2), own=lease(0)), withheld=frozenset({(theirs.key, theirs.record)}))
    routes = [Route(theirs.key.subnet, "flannel.1"), route(200)]
    observed = Observed({one.key: one for one in routes})
    shut = decide(replace(seen, own_confirmed=False), NONE, observed)
    assert [op.obj for op in shut.ops] == routes[:1]
