"""Leases of peers that lead to another host than before: which changes are an alarm, and which are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from flanpy.model.lease import Lease
from flanpy.plan.moving import Step
from flanpy.plan.takeover import takeovers
from tests.states import DUAL, lease, view

WAS = lease(1)
ROGUE = lease(7)


def at_key(key: Lease, says: Lease, **more: object) -> Lease:
    record = replace(says.record, **more)  # type: ignore[arg-type]  # the caller names fields of a record
    return replace(key, record=record, mod_revision=900)


def changes(before: list[Lease], now: list[Lease], gone: Mapping[str, Lease] | None = None) -> list[str]:
    step = Step(view(before), view(now), [str(one.key) for one in now])
    return [found.message for found in takeovers(step, gone or {}, "node-0")]


TAKEN = {
    "written over by another": at_key(WAS, ROGUE),
    "written over with its node id": at_key(WAS, ROGUE, node_id="node-1"),
    "written over without a node id": at_key(WAS, ROGUE, node_id=""),
}


@pytest.mark.parametrize("name", TAKEN)
def test_key_that_leads_to_another_address_is_an_alarm(name: str) -> None:
    (said,) = changes([WAS, lease(2)], [TAKEN[name], lease(2)])
    assert "node-1 (192.0.2.11), still answers" in said
    assert "192.0.2.17" in said


@pytest.mark.parametrize("name", TAKEN)
def test_key_that_was_deleted_and_made_anew_is_the_same_alarm(name: str) -> None:
    assert changes([lease(2)], [TAKEN[name]], gone={str(WAS.key): WAS})


def test_node_id_that_appears_under_another_key_with_another_address_is_an_alarm() -> None:
    stolen = at_key(lease(9), ROGUE, node_id="node-1")
    assert changes([WAS], [WAS, stolen])
    moved = at_key(lease(9), WAS)
    assert changes([WAS], [moved]) == [], "a host that takes another subnet keeps its address"


@pytest.mark.parametrize(
    "now",
    [
        at_key(WAS, WAS),
        at_key(WAS, WAS, node_id="node-9"),
        at_key(WAS, WAS, leaving=True),
        at_key(WAS, WAS, fast_path=True),
    ],
    ids=["rewritten", "another node id at the same address", "leaving", "another plane"],
)
def test_key_that_leads_where_it_did_is_none(now: Lease) -> None:
    assert changes([WAS], [now]) == []


def test_key_of_a_host_that_said_it_leaves_is_free_for_others() -> None:
    left = at_key(WAS, WAS, leaving=True)
    assert changes([], [at_key(WAS, ROGUE)], gone={str(WAS.key): left}) == []


def test_dual_stack_host_that_keeps_one_address_has_not_changed_hands() -> None:
    both = lease(1, DUAL)
    assert changes([both], [at_key(both, both, public_ip=ROGUE.record.public_ip)]) == []


def test_own_lease_is_not_told_here() -> None:
    own = lease(0)
    assert changes([own], [at_key(own, ROGUE)]) == []
