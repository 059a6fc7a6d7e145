"""The edges of the decision about our own lease: guarded ranges, the order of several leases, twins; all pure."""

from __future__ import annotations

import math
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network

import pytest

from flanpy.model.address import IPNetwork
from flanpy.model.lease import InvalidLease, Lease, LeaseRecord, LeaseView
from flanpy.plan.border import Guarded
from flanpy.plan.space import numbers
from flanpy.store.own.lease_step import Acquire, Keep, Renew, Rewrite, Wait, Why, Yield, duplicate_public_ip
from tests.store.own.lease_hosts import DUAL, network, record
from tests.store.own.test_lease_step import HELD, MINE, NOW, RECORD, THEIRS, fresh, lease, step

ELSEWHERE = network("10.60.0.0/16")
V6_RECORD = LeaseRecord(None, IPv6Address("2001:db8::1"), "host-gw", node_id="me")


def guard(text: str, *within: str) -> Guarded:
    range_: IPNetwork = ip_network(text)
    return Guarded(
        range_.version, *numbers(range_), f"way {text}", range_.prefixlen, tuple(map(ip_network, within))
    )


def seen(*leases: Lease) -> LeaseView:
    return LeaseView(leases={str(one.key): one for one in leases}, listings=1)


# Lost while containers use it


def test_lost_lease_outside_a_changed_network_is_waited_for_once_etcd_confirmed_it() -> None:
    found = step(HELD, config=ELSEWHERE)
    assert isinstance(found, Wait)
    assert "restart flanpyd to move" in found.message


def test_lost_lease_outside_a_changed_network_is_replaced_at_start() -> None:
    found = step(replace(HELD, settled=False), config=ELSEWHERE)
    assert isinstance(found, Acquire)
    assert (found.why, found.replaces) == (Why.EXCLUDED, None)
    assert all(str(key).startswith("10.60.") for key in found.candidates)


def test_host_that_uses_no_lease_has_lost_none() -> None:
    found = step(fresh(in_use=True))
    assert isinstance(found, Acquire)
    assert found.why is Why.NEW


@pytest.mark.parametrize(
    ("invalid", "yields"),
    [("10.50.9.0-25", True), ("10.50.10.0-24", False), ("10.50.9.0-99", False), ("nonsense", False)],
)
def test_unreadable_lease_has_the_subnet_that_its_key_names(invalid: str, *, yields: bool) -> None:
    found = step(HELD, invalid=(InvalidLease(invalid, "odd value", 7),))
    if not yields:
        assert found == Acquire((MINE.key,), Why.LOST)
        return
    assert isinstance(found, Yield)
    assert "now belongs to an unreadable key (odd value), lease 10.50.9.0-25" in found.message


def test_lost_lease_that_nothing_uses_is_tried_first_and_not_alone() -> None:
    found = step(fresh(held=MINE))
    assert isinstance(found, Acquire)
    assert found.candidates[0] == MINE.key
    assert len(found.candidates) > 1


def test_replaced_subnet_is_the_one_that_is_preferred_not_the_one_held_before() -> None:
    other = lease("10.50.77.0-24")
    found = step(fresh(held=MINE), other, config=network(**DUAL))
    assert isinstance(found, Acquire)
    assert (found.replaces, found.candidates[0].subnet) == (other, other.key.subnet)


# Guarded ranges


def test_subnet_over_a_way_of_the_host_is_not_offered_unless_the_operator_says_so() -> None:
    config = network("10.50.0.0/20")
    barred = step(fresh(borders=(guard("10.50.8.0/22"),)), config=config)
    assert isinstance(barred, Acquire)
    assert {8, 9, 10, 11}.isdisjoint(int(key.subnet[0]) >> 8 & 255 for key in barred.candidates if key.subnet)
    meant = step(fresh(borders=(guard("10.50.8.0/22", "10.50.8.0/22"),)), config=config)
    assert isinstance(meant, Acquire)
    assert len(meant.candidates) == len(barred.candidates) + 4


def test_network_in_a_guarded_range_gives_no_subnet_and_the_cure_is_named() -> None:
    found = step(fresh(borders=(guard("fd50::/32"), guard("10.0.0.0/8"))))
    assert isinstance(found, Wait)
    assert "way 10.0.0.0/8" in found.message
    assert "allowed-network to 10.50.0.0/16" in found.message


def test_guarded_range_of_a_family_that_is_off_bars_nothing() -> None:
    assert isinstance(step(fresh(borders=(guard("::/0"),))), Acquire)


def test_held_subnet_over_a_way_of_the_host_asks_for_a_restart_and_is_replaced_at_start() -> None:
    borders = (guard("10.50.9.128/25"),)
    running = step(replace(HELD, borders=borders), MINE)
    assert isinstance(running, Keep)
    assert "way 10.50.9.128/25" in running.restart_needed
    starting = step(fresh(held=MINE, borders=borders), MINE)
    assert isinstance(starting, Acquire)
    assert (starting.why, starting.replaces) == (Why.EXCLUDED, MINE)


@pytest.mark.parametrize("held", [None, lease("10.50.9.0-24")], ids=["nothing held", "another held"])
def test_reservation_over_a_way_of_the_host_is_no_lease_of_ours(held: Lease | None) -> None:
    trap = lease("10.50.200.0-24", LeaseRecord(RECORD.public_ip, node_id="me"), lease_id=0)
    own = fresh(borders=(guard("10.50.200.7/32"),), held=held)
    found = step(own, trap)
    assert isinstance(found, Acquire)
    assert found.replaces is None
    assert trap.key not in found.candidates


def test_lease_with_a_time_over_a_way_of_the_host_is_still_ours_and_is_replaced() -> None:
    found = step(fresh(borders=(guard("10.50.9.7/32"),)), MINE)
    assert isinstance(found, Acquire)
    assert (found.replaces, found.why) == (MINE, Why.EXCLUDED)
    assert MINE.key not in found.candidates


def test_reservation_that_containers_use_stays_ours_over_whatever_way() -> None:
    reserved = replace(MINE, lease_id=0)
    own = replace(HELD, held=reserved, borders=(guard("10.50.9.7/32"),))
    found = step(own, reserved)
    assert isinstance(found, Keep)
    assert found.until == math.inf


def test_reservation_beside_the_ways_of_the_host_is_taken_up() -> None:
    reserved = lease("10.50.200.0-24", LeaseRecord(None, node_id="me"), lease_id=0)
    assert step(fresh(borders=(guard("10.50.7.0/24"),)), reserved) == Rewrite(reserved, RECORD, Why.CHANGED)


def test_reservation_stays_when_the_network_excludes_it() -> None:
    reserved = lease("10.77.0.0-24", lease_id=0)
    found = step(fresh(), reserved)
    assert isinstance(found, Keep)
    assert "restart" in found.restart_needed


# Several leases of ours


HELD_ONE = lease("10.50.30.0-24", created=9)
PREVIOUS = lease("10.50.40.0-24", created=8)
RESERVED = lease("10.50.50.0-24", lease_id=0, created=7)
NAMED = lease("10.50.60.0-24", created=6)
YOUNGER = lease("10.50.61.0-24", created=7)
FLANNELS = lease("10.50.70.0-24", record(1), created=1)


@pytest.mark.parametrize(
    "order",
    [
        (HELD_ONE, PREVIOUS, RESERVED, NAMED, FLANNELS),
        (PREVIOUS, RESERVED, NAMED, FLANNELS),
        (RESERVED, NAMED, FLANNELS),
        (NAMED, YOUNGER, FLANNELS),
    ],
    ids=["held", "previous", "reservation", "node id, the oldest"],
)
def test_lease_to_keep_is_chosen_by_what_uses_it(order: tuple[Lease, ...]) -> None:
    fast = replace(RECORD, fast_path=not RECORD.fast_path)  # so that the kept one is to be written
    own = fresh(record=fast, held=HELD_ONE, previous=PREVIOUS.key, settled=True)
    for leases in (order, order[::-1]):
        assert step(own, *leases) == Rewrite(order[0], fast, Why.CHANGED)


def test_only_leases_with_our_node_id_and_a_time_are_too_many() -> None:
    own = replace(HELD, held=HELD_ONE)
    found = step(own, HELD_ONE, RESERVED, NAMED, FLANNELS)
    assert getattr(found, "leases", ()) == (NAMED,)


# Whose lease it is


@pytest.mark.parametrize(
    ("said", "ours"),
    [
        (LeaseRecord(None, V6_RECORD.public_ip6, "host-gw"), True),
        (LeaseRecord(None, IPv6Address("2001:db8::2"), "host-gw"), False),
        (LeaseRecord(IPv4Address("10.99.0.1"), V6_RECORD.public_ip6, "host-gw"), False),
        (LeaseRecord(IPv4Address("10.99.0.1"), None, "host-gw"), False),
    ],
)
def test_lease_without_a_node_id_is_ours_by_the_address_that_we_advertise(
    said: LeaseRecord, *, ours: bool
) -> None:
    config = network(EnableIPv4=False, **DUAL)
    found = step(fresh(record=V6_RECORD), lease("fd50:0:0:9::-64", said), config=config)
    assert isinstance(found, Rewrite if ours else Acquire)


def test_lease_of_flannels_on_the_subnet_that_we_hold_is_ours_by_the_address_that_we_had() -> None:
    flannels = replace(MINE, record=record(1))
    moved = replace(RECORD, public_ip=IPv4Address("10.99.9.9"))
    assert step(replace(HELD, record=moved), flannels) == Rewrite(flannels, moved, Why.CHANGED)
    assert isinstance(step(replace(HELD, record=moved), replace(MINE, record=record(2))), Yield)
    other = lease("10.50.33.0-24", record(1))
    assert step(replace(HELD, record=moved), other) == Acquire((MINE.key,), Why.LOST)


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        (record(1, "other"), True),
        (record(1, "me"), False),
        (record(1), False),
        (THEIRS, False),
        (LeaseRecord(None, V6_RECORD.public_ip6, "vxlan", node_id="other"), True),
        (LeaseRecord(None, IPv6Address("2001:db8::9"), "vxlan", node_id="other"), False),
        (LeaseRecord(None, None, "vxlan", node_id="other"), False),
    ],
)
def test_duplicate_address_is_named_when_another_node_advertises_one_of_ours(
    theirs: LeaseRecord, *, named: bool
) -> None:
    both = replace(RECORD, public_ip6=V6_RECORD.public_ip6)
    text = duplicate_public_ip(fresh(record=both), seen(MINE, lease("10.50.75.0-24", theirs)))
    assert ("also that of node other" in text) == named
    assert bool(text) == named
    if named:
        assert str(theirs.public_ip or theirs.public_ip6) in text


def test_address_that_neither_has_is_no_duplicate() -> None:
    other = LeaseRecord(IPv4Address("10.99.0.9"), None, "vxlan", node_id="other")
    assert duplicate_public_ip(fresh(record=RECORD), seen(lease("10.50.75.0-24", other))) == ""
    other6 = LeaseRecord(None, IPv6Address("2001:db8::9"), "vxlan", node_id="other")
    assert duplicate_public_ip(fresh(record=V6_RECORD), seen(lease("10.50.75.0-24", other6))) == ""


def test_lease_of_our_node_id_with_another_address_makes_us_wait_only_on_a_subnet_that_we_never_had() -> None:
    twins = lease("10.50.10.0-24", record(2, "me"))
    assert isinstance(step(fresh(), twins), Wait)
    assert isinstance(step(fresh(held=twins), twins), Rewrite)
    assert step(HELD, twins) == Acquire((MINE.key,), Why.LOST)


@pytest.mark.parametrize(
    ("changes", "yields"),
    [
        ({}, True),
        ({"settled": False}, False),
        ({"held": None, "previous": MINE.key}, False),
        ({"held": replace(MINE, mod_revision=99)}, False),
        ({"held": replace(MINE, record=record(2, "me"))}, False),
        ({"record": record(2, "me")}, False),
    ],
)
def test_our_key_with_a_strangers_address_is_yielded_only_when_the_change_came_from_elsewhere(
    changes: dict[str, object], *, yields: bool
) -> None:
    written = replace(MINE, record=record(2, "me"), mod_revision=99)
    assert isinstance(step(replace(HELD, **changes), written), Yield) == yields  # type: ignore[arg-type]


def test_dual_stack_hosts_are_the_same_by_ipv4_alone_and_otherwise_by_both() -> None:
    ours = replace(RECORD, public_ip6=V6_RECORD.public_ip6)
    other6 = replace(ours, public_ip6=IPv6Address("2001:db8::2"))
    key = "10.50.9.0-24"
    assert isinstance(step(fresh(record=ours), lease(key, other6)), Rewrite)
    other4 = replace(ours, public_ip=IPv4Address("10.99.0.2"))
    assert isinstance(step(fresh(record=ours), lease(key, other4)), Wait)
    six = lease("fd50:0:0:9::-64", replace(V6_RECORD, public_ip6=IPv6Address("2001:db8::2")))
    config = network(EnableIPv4=False, **DUAL)
    assert isinstance(step(fresh(record=V6_RECORD), six, config=config), Wait)


def test_reservation_for_nobody_is_not_ours() -> None:
    assert isinstance(step(fresh(), lease("10.50.33.0-24", LeaseRecord(None), lease_id=0)), Acquire)


def test_host_without_a_node_id_takes_no_lease_of_flannels_for_its_own() -> None:
    assert isinstance(step(fresh(record=record(1)), lease("10.50.33.0-24", record(2))), Acquire)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (LeaseRecord(IPv4Address("10.99.0.2"), None, node_id="me"), "10.99.0.2"),
        (LeaseRecord(IPv4Address("10.99.0.2"), IPv6Address("2001:db8::2"), node_id="me"), "10.99.0.2"),
        (LeaseRecord(None, IPv6Address("2001:db8::2"), node_id="me"), "2001:db8::2"),
    ],
)
def test_clone_is_named_by_its_address(said: LeaseRecord, named: str) -> None:
    found = step(fresh(), lease("10.50.33.0-24", said))
    assert isinstance(found, Wait)
    assert f"also used by the host at {named}, lease 10.50.33.0-24" in found.message


def test_clone_on_our_previous_subnet_takes_nothing_that_we_hold() -> None:
    """The held lease is gone; the one at the subnet before it bears our node id."""
    before = replace(lease("10.50.33.0-24", record(2, "me")), mod_revision=99)
    assert step(replace(HELD, previous=before.key), before) == Rewrite(before, RECORD, Why.CHANGED)


# A family more


def test_family_is_added_at_start_only_if_the_subnet_in_use_can_stay() -> None:
    wide = lease("10.50.8.0-23")  # of another SubnetLen: no lease with both families would have it
    assert isinstance(step(fresh(), wide, config=network(**DUAL)), Keep | Renew)
    assert isinstance(step(HELD, MINE, config=network(**DUAL)), Keep)


def test_ipv4_is_added_to_a_lease_of_ipv6_on_the_same_subnet() -> None:
    six = lease("fd50:0:0:9::-64", V6_RECORD)
    found = step(fresh(record=V6_RECORD), six, config=network(**DUAL))
    assert isinstance(found, Acquire)
    (key,) = found.candidates
    assert (key.subnet6, found.replaces, found.why) == (IPv6Network("fd50:0:0:9::/64"), six, Why.FAMILY)
    assert key.subnet is not None


def test_ipv4_is_not_added_when_the_subnet_of_ipv6_cannot_stay() -> None:
    wide = lease("fd50:0:0:8::-63", V6_RECORD)
    assert step(fresh(record=V6_RECORD), wide, config=network(**DUAL)) == Renew(wide)


def test_family_without_a_free_subnet_is_not_added() -> None:
    own = fresh(borders=(guard("fd50::/32"),))
    assert step(own, MINE, config=network(**DUAL)) == Renew(MINE)


# Overlaps


@pytest.mark.parametrize(("created", "named"), [(4, True), (5, False), (6, False)])
def test_overlap_is_a_conflict_when_the_other_lease_is_older(created: int, *, named: bool) -> None:
    found = step(HELD, MINE, lease("10.50.8.0-23", THEIRS, created=created))
    assert isinstance(found, Keep)
    assert bool(found.conflict) == named


def test_older_lease_beside_ours_is_no_conflict() -> None:
    assert step(HELD, MINE, lease("10.50.10.0-24", THEIRS, created=1)) == Keep(MINE, NOW + 10)
