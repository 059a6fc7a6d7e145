"""Causes come before what they explain, in every order and whatever is unhealthy."""

from __future__ import annotations

import gc
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.condition import Condition, ConditionType
from flanpy.status.inputs import Inputs
from flanpy.status.judge.causes import DEPENDS_ON, in_order, root_causes
from flanpy.status.judge.conditions import judge
from tests.status.passes import NOW, WELL

C = ConditionType


def _with_troubles(*bad: ConditionType) -> tuple[Condition, ...]:
    return tuple(replace(one, healthy=one.type not in bad) for one in judge(WELL, NOW))


def test_causes_come_before_what_they_explain_and_both_before_what_is_well() -> None:
    ordered = in_order(_with_troubles(C.PEERS_REACHABLE, C.BACKEND_READY, C.FOREIGN_CONFLICT, C.LEASE_SAVED))
    assert [one.type for one in ordered[:4]] == [
        C.FOREIGN_CONFLICT,
        C.BACKEND_READY,
        C.LEASE_SAVED,
        C.PEERS_REACHABLE,
    ]
    assert all(one.healthy for one in ordered[4:])


def test_conditions_keep_their_order_when_all_is_well() -> None:
    judged = judge(WELL, NOW)
    assert in_order(judged) == judged


def test_root_causes_are_those_that_nothing_unhealthy_explains() -> None:
    found = root_causes(_with_troubles(C.PEERS_REACHABLE, C.FIREWALL_READY, C.MTU_CONSISTENT))
    assert [one.type for one in found] == [C.FIREWALL_READY, C.MTU_CONSISTENT]
    assert root_causes(judge(WELL, NOW)) == ()


def test_fresh_daemon_names_the_underlay_and_what_is_reached_by_it_first() -> None:
    shown = in_order(judge(Inputs(), NOW))
    assert [one.type for one in shown[:2]] == [C.UNDERLAY_READY, C.DATASTORE_REACHABLE]
    assert {one.type for one in root_causes(shown)} == {C.UNDERLAY_READY}


@given(st.frozensets(st.sampled_from(ConditionType)), st.randoms())
def test_nothing_is_lost_and_no_effect_comes_before_its_cause(
    bad: frozenset[ConditionType], rng: object
) -> None:
    judged = list(_with_troubles(*bad))
    rng.shuffle(judged)  # type: ignore[attr-defined]
    ordered = in_order(judged)
    assert {one.type for one in ordered} == set(ConditionType)
    place = {one.type: number for number, one in enumerate(ordered)}
    for kind in bad:
        for cause in bad.intersection(DEPENDS_ON.get(kind, ())):
            assert place[cause] < place[kind]
    assert bool(root_causes(ordered)) == bool(bad)


def test_ordering_conditions_leaves_nothing_behind_for_the_collector() -> None:
    """A snapshot is made for every news: what only the collector frees piles up, with the conditions it refers to."""
    judged = _with_troubles(C.PEERS_REACHABLE, C.BACKEND_READY)
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            in_order(judged)
        assert gc.collect() == 0
    finally:
        gc.enable()
