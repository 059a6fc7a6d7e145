"""Single news is never kept waiting, a burst is taken in groups, and the wait has a bound."""

from __future__ import annotations

from flanpy.reconcile.pace import CLOSE, FREE, LONGEST_PAUSE, LONGEST_REST, Pace


def test_pass_does_not_wait_when_the_last_one_is_long_over() -> None:
    pace, now = Pace(), 100.0
    for _ in range(3 * FREE):
        assert pace.pause(now) == 0
        pace.ended(now)
        now += CLOSE


def test_pauses_of_a_burst_grow_to_their_bound() -> None:
    pace, now, pauses = Pace(), 100.0, []
    for _ in range(FREE + 12):
        pauses.append(pace.pause(now))
        now += pauses[-1] + 0.002
        pace.ended(now)
    assert pauses[: FREE - 1] == [0] * (FREE - 1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


def test_passes_that_take_long_leave_as_much_time_to_the_rest() -> None:
    """On a host without time a pass takes long, and news comes before it is over: it must not run all the time."""
    pace, now, took = Pace(), 100.0, 0.15
    pauses = []
    for _ in range(3 * FREE):
        pauses.append(pace.pause(now))
        now += pauses[-1] + took
        pace.ended(now, took=took)
        now += 0.08  # the next news, a dozen a second
    assert pauses[: FREE - 1] == [0] * (FREE - 1)
    assert set(pauses[FREE + 1 :]) == {took}


def test_rest_after_a_pass_of_any_length_has_a_bound() -> None:
    pace = Pace()
    for _ in range(2 * FREE):
        pace.pause(100.0)
        pace.ended(100.0, took=30.0)
    assert pace.pause(100.0) == LONGEST_REST


def test_burst_is_over_after_a_quiet_moment() -> None:
    pace, now = Pace(), 100.0
    for _ in range(2 * FREE):
        pace.pause(now)
        pace.ended(now)
    assert pace.pause(now) > 0
    pace.ended(now)
    assert pace.pause(now + CLOSE) == 0
