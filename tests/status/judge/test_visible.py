"""Time-to-visible: a step from well to bad has to last, and nothing flaps; readiness is never late."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.status.judge.conditions import NEEDED_TO_BE_READY
from flanpy.status.judge.visible import CALM_S, GRACE_S, Memory, settle

GRACED, CALMED = ConditionType.HOST_TUNED, ConditionType.PEERS_REACHABLE
GRACE, CALM = GRACE_S[GRACED], CALM_S[CALMED]
AT_ONCE = ConditionType.LEASE_VALID


def _well(kind: ConditionType) -> Condition:
    return Condition(kind, Status.TRUE, "Fine", "all answer", healthy=True)


def _bad(kind: ConditionType, reason: str = "Lost") -> Condition:
    return Condition(kind, Status.FALSE, reason, "none answers", healthy=False)


def _shown(memory: Memory) -> Condition:
    (one,) = memory.shown
    return one


def _after(*steps: tuple[float, Condition]) -> Memory:
    memory = Memory()
    for now, condition in steps:
        memory = settle([condition], memory, now)
    return memory


def test_trouble_is_shown_once_it_lasted_for_its_grace() -> None:
    well, bad = _well(GRACED), _bad(GRACED)
    assert _shown(_after((0, well), (10, bad))) == well
    assert _shown(_after((0, well), (10, bad), (9.9 + GRACE, bad))) == well
    assert _shown(_after((0, well), (10, bad), (10 + GRACE, bad))) == bad


def test_trouble_that_ends_within_its_grace_is_never_shown_and_the_next_waits_anew() -> None:
    well, bad = _well(GRACED), _bad(GRACED)
    memory = _after((0, well), (1, bad), (GRACE, well), (GRACE + 1, bad), (GRACE + 2, bad))
    assert _shown(memory) == well
    assert memory.waiting == {GRACED: GRACE + 1}


def test_grace_runs_on_while_the_reason_changes() -> None:
    steps = ((0, _well(GRACED)), (1, _bad(GRACED)), (1 + GRACE, _bad(GRACED, "Lossy")))
    assert _shown(_after(*steps)).reason == "Lossy"


def test_trouble_from_the_start_another_trouble_and_recovery_are_shown_at_once() -> None:
    bad, other, well = _bad(GRACED), _bad(GRACED, "Lossy"), _well(GRACED)
    assert _shown(_after((0, bad))) == bad
    assert _shown(_after((0, bad), (0, other))) == other
    assert _shown(_after((0, bad), (0, well))) == well


def test_condition_with_a_calm_clears_once_it_was_well_for_so_long() -> None:
    bad, well = _bad(CALMED), _well(CALMED)
    assert _shown(_after((0, bad), (1, well), (0.9 + CALM, well))) == bad
    assert _shown(_after((0, bad), (1, well), (1 + CALM, well))) == well


def test_condition_that_can_no_longer_be_known_does_not_go_on_being_shown_as_trouble() -> None:
    unknown = replace(_well(CALMED), status=Status.UNKNOWN)
    assert _shown(_after((0, _bad(CALMED)), (1, unknown))) == unknown


def test_readiness_is_never_late() -> None:
    assert GRACE_S.keys().isdisjoint(NEEDED_TO_BE_READY)
    assert CALM_S.keys().isdisjoint(NEEDED_TO_BE_READY)
    assert _shown(_after((0, _well(AT_ONCE)), (0, _bad(AT_ONCE)))) == _bad(AT_ONCE)


@given(st.lists(st.tuples(st.floats(0.01, 2 * GRACE), st.booleans()), max_size=30))
def test_what_is_shown_turns_bad_only_if_it_was_bad_all_through_its_grace(
    steps: list[tuple[float, bool]],
) -> None:
    memory, now, bad_since = settle([_well(GRACED)], Memory(), 0.0), 0.0, None
    for pause, healthy in steps:
        now += pause
        bad_since = None if healthy else now if bad_since is None else bad_since
        memory = settle([_well(GRACED) if healthy else _bad(GRACED)], memory, now)
        assert _shown(memory).healthy is (bad_since is None or now - bad_since < GRACE)
