"""The decision about our own lease, as a table of situations; all pure."""

from __future__ import annotations

import math
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from random import Random
from typing import Any, get_type_hints

import pytest

from flanpy.model.lease import InvalidLease, Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.store.own.lease_step import (
    Acquire,
    Drop,
    Keep,
    OwnState,
    Renew,
    Rewrite,
    Step,
    Wait,
    Why,
    Yield,
    duplicate_public_ip,
    next_step,
)
from flanpy.store.own.own_lease import OwnLeaseChanges, OwnLeaseLines, OwnLeaseState
from flanpy.store.schema import decode_key
from tests.store.own.lease_hosts import DUAL, network, record

RECORD = record(1, "me")
NOW = 1000.0


def lease(
    key: str, said: LeaseRecord = RECORD, *, lease_id: int = 7, created: int = 5, modified: int = 5
) -> Lease:
    parsed = decode_key(key)
    assert isinstance(parsed, SubnetKey), parsed
    return Lease(parsed, said, lease_id, created, modified)


MINE = lease("10.50.9.0-24")
THEIRS = record(2, "other")
HELD = OwnState(record=RECORD, held=MINE, in_use=True, settled=True, renew_at=NOW + 10)


def step(own: OwnState, *leases: Lease, config: NetworkConfig | None = None, **view: Any) -> Step:
    seen = LeaseView(leases={str(one.key): one for one in leases}, listings=1, stale=False, **view)
    return next_step(own, seen, NOW, network=config or network(), rng=Random(0))


def fresh(**changes: Any) -> OwnState:
    return replace(OwnState(record=RECORD), **changes)


def test_step_is_to_wait_quietly_when_nothing_was_listed_yet() -> None:
    assert next_step(HELD, LeaseView(), NOW, network=network(), rng=Random(0)) == Keep(MINE, math.inf)


def test_step_acquires_any_free_subnet_when_there_is_no_lease() -> None:
    found = step(fresh())
    assert isinstance(found, Acquire)
    assert (found.why, found.replaces, len(found.candidates)) == (Why.NEW, None, 100)


def test_step_acquires_the_previous_subnet_first_when_it_is_free() -> None:
    found = step(fresh(previous=MINE.key))
    assert isinstance(found, Acquire)
    assert found.candidates[0] == MINE.key


def test_step_keeps_the_lease_until_it_is_due_when_all_is_well() -> None:
    assert step(HELD, MINE) == Keep(MINE, NOW + 10)


def test_step_renews_when_the_lease_is_due() -> None:
    assert step(replace(HELD, renew_at=NOW), MINE) == Renew(MINE)


def test_p29_reservation_is_never_renewed() -> None:
    reserved = replace(MINE, lease_id=0)
    assert step(replace(HELD, held=reserved, renew_at=-math.inf), reserved) == Keep(reserved, math.inf)


@pytest.mark.parametrize(
    "said",
    [
        LeaseRecord(None, node_id="me"),
        LeaseRecord(RECORD.public_ip),
        LeaseRecord(RECORD.public_ip, node_id="me"),
    ],
    ids=["by node id", "by public ip", "by both"],
)
def test_p29_reservation_for_us_is_taken_up_without_an_etcd_lease(said: LeaseRecord) -> None:
    reserved = lease("10.50.200.0-24", said, lease_id=0)
    found = step(fresh(), reserved)
    assert found == Rewrite(reserved, RECORD, Why.CHANGED)


def test_p29_reservation_for_another_node_with_our_address_is_not_ours() -> None:
    reserved = lease("10.50.200.0-24", LeaseRecord(RECORD.public_ip, node_id="other"), lease_id=0)
    assert isinstance(step(fresh(), reserved), Acquire)


def test_p29_reservation_made_while_we_run_does_not_move_us_and_is_not_dropped() -> None:
    reserved = lease("10.50.200.0-24", LeaseRecord(None, node_id="me"), lease_id=0)
    assert step(HELD, MINE, reserved) == Keep(MINE, NOW + 10)


def test_step_takes_over_flannels_lease_by_public_ip() -> None:
    flannels = lease("10.50.75.0-24", record(1))
    assert step(fresh(), flannels) == Rewrite(flannels, RECORD, Why.CHANGED)


def test_p21_lease_of_another_node_with_our_public_ip_is_left_alone_and_named() -> None:
    theirs = lease("10.50.75.0-24", record(1, "other"))
    found = step(fresh(), theirs)
    assert isinstance(found, Acquire)
    assert theirs.key not in found.candidates
    text = duplicate_public_ip(fresh(), LeaseView(leases={str(theirs.key): theirs}, listings=1))
    assert "me" in text
    assert "other" in text
    assert str(RECORD.public_ip) in text


def test_p27_changed_address_is_rewritten_in_place() -> None:
    moved = replace(RECORD, public_ip=IPv4Address("10.99.7.7"))
    assert step(replace(HELD, record=moved), MINE) == Rewrite(MINE, moved, Why.CHANGED)


def test_p25_lost_lease_is_taken_again_on_the_same_subnet_and_no_other() -> None:
    assert step(HELD) == Acquire((MINE.key,), Why.LOST)


def test_p25_lost_lease_is_taken_again_though_its_subnet_would_not_be_offered_now() -> None:
    config = network(SubnetMin="10.50.100.0")
    assert step(HELD, config=config) == Acquire((MINE.key,), Why.LOST)


@pytest.mark.parametrize("key", ["10.50.9.0-24", "10.50.8.0-23", "10.50.9.128-25", "10.50.9.0-24&fd50::-64"])
def test_p26_step_yields_when_another_node_has_a_part_of_our_subnet(key: str) -> None:
    theirs = lease(key, THEIRS)
    found = step(HELD, theirs)
    assert isinstance(found, Yield)
    assert found.owner == theirs
    assert "other" in found.message


def test_p26_step_yields_when_an_unreadable_key_holds_a_part_of_our_subnet() -> None:
    found = step(HELD, invalid=(InvalidLease("10.50.8.0-23", "broken"),))
    assert isinstance(found, Yield)


def test_p16_stray_key_over_the_whole_network_does_not_keep_us_from_our_subnet() -> None:
    assert step(HELD, lease("0.0.0.0-0", THEIRS)) == Acquire((MINE.key,), Why.LOST)


def test_p16_own_key_is_repaired_when_its_value_became_unreadable() -> None:
    found = step(HELD, invalid=(InvalidLease("10.50.9.0-24", "broken", 40),))
    assert found == Rewrite(replace(MINE, mod_revision=40), RECORD, Why.UNREADABLE)


def test_step_takes_another_subnet_when_ours_was_taken_before_anything_stood_on_it() -> None:
    found = step(replace(HELD, in_use=False, settled=False), lease("10.50.9.0-24", THEIRS))
    assert isinstance(found, Acquire)
    assert MINE.key not in found.candidates


def test_p28_step_waits_and_names_the_counts_when_nothing_is_free() -> None:
    config = network("10.50.0.0/22", SubnetLen=24)
    taken = [lease(f"10.50.{n}.0-24", record(n + 1, f"n{n}")) for n in (1, 2, 3)]
    found = step(fresh(), *taken, config=config)
    assert isinstance(found, Wait)
    assert "all 3" in found.message


def test_running_node_keeps_its_lease_and_asks_for_a_restart_when_the_network_excludes_it() -> None:
    found = step(HELD, MINE, config=network("10.60.0.0/16"))
    assert isinstance(found, Keep)
    assert "10.60.0.0/16" in found.restart_needed


def test_starting_node_replaces_its_lease_when_the_network_excludes_it() -> None:
    found = step(replace(HELD, settled=False), MINE, config=network("10.60.0.0/16"))
    assert isinstance(found, Acquire)
    assert (found.why, found.replaces) == (Why.EXCLUDED, MINE)


def test_node_stays_when_only_subnet_len_or_bounds_changed() -> None:
    config = network(SubnetLen=26, SubnetMin="10.50.100.0")
    assert isinstance(step(replace(HELD, settled=False), MINE, config=config), Keep)


def test_starting_node_adds_ipv6_and_keeps_its_ipv4_subnet_when_the_network_became_dual_stack() -> None:
    found = step(fresh(), MINE, config=network(**DUAL))
    assert isinstance(found, Acquire)
    (key,) = found.candidates
    assert (key.subnet, found.replaces, found.why) == (IPv4Network("10.50.9.0/24"), MINE, Why.FAMILY)


def test_second_lease_of_ours_is_dropped_when_an_answer_was_lost() -> None:
    extra = lease("10.50.10.0-24", created=9)
    assert step(HELD, MINE, extra) == Drop((extra,))


def test_flannels_second_lease_for_our_address_is_not_dropped() -> None:
    assert isinstance(step(HELD, MINE, lease("10.50.10.0-24", record(1))), Keep)


def test_lease_of_a_copied_machine_is_not_taken_for_ours() -> None:
    twins = lease("10.50.10.0-24", record(2, "me"))
    found = step(fresh(), twins)
    assert isinstance(found, Wait)
    assert "node id me" in found.message


def test_p27_lease_with_an_old_address_is_ours_when_the_disk_knows_the_subnet() -> None:
    old = lease("10.50.10.0-24", record(2, "me"))
    assert step(fresh(previous=old.key), old) == Rewrite(old, RECORD, Why.CHANGED)


def test_step_yields_when_a_copied_machine_wrote_its_address_into_our_key() -> None:
    twins = replace(MINE, record=record(2, "me"), mod_revision=99)
    found = step(HELD, twins)
    assert isinstance(found, Yield)
    assert "node id me" in found.message


def test_lease_that_overlaps_an_older_one_is_kept_and_the_conflict_named() -> None:
    found = step(HELD, MINE, lease("10.50.8.0-23", THEIRS, created=1))
    assert isinstance(found, Keep)
    assert "other" in found.conflict


def test_changes_are_the_published_state_by_name_and_type() -> None:
    assert get_type_hints(OwnLeaseChanges) == get_type_hints(OwnLeaseState)
    assert {*get_type_hints(OwnLeaseLines).values()} == {str}
