"""The last day of every direction: what was at worst, what was lost, and that nothing grows."""

from __future__ import annotations

from typing import Any

from flanpy.page.day import MOST, STEP, STEPS, Day

NOW = 1_800_000_000.0


def _row(one: str, other: str, reach: str = "reachable", **more: Any) -> dict[str, Any]:
    return {"from": one, "to": other, "reach": reach, "loss": 0.0, "rtt_ms": 0.2, **more}


def test_step_keeps_the_worst_and_means_of_the_rest() -> None:
    day = Day()
    day.note([_row("a", "b", rtt_ms=0.1)], NOW)
    day.note([_row("a", "b", "lossy", loss=0.5, rtt_ms=0.3)], NOW + 30)
    day.note([_row("a", "b", "unreachable", loss=1.0, rtt_ms=None)], NOW + STEP)
    told = day.pair("a", "b")
    assert told["out"]["worst"] == "0" * 94 + "23"
    assert (told["out"]["loss"][-2:], told["out"]["rtt_ms"][-2:]) == ([0.25, 1.0], [0.2, None])
    assert set(told["back"]["worst"]) == {"0"}
    assert told["end"] % STEP == 0


def test_strip_of_a_host_is_the_worst_of_its_directions() -> None:
    day = Day()
    day.note([_row("a", "b"), _row("b", "c", "unreachable")], NOW)
    strips = day.strips()
    assert {host: worst[-1] for host, worst in strips["hosts"].items()} == {"a": "1", "b": "3", "c": "3"}
    assert strips["all"][-1] == "3"


def test_what_is_older_than_a_day_is_forgotten_with_hosts_that_left() -> None:
    day = Day()
    day.note([_row("a", "b", "lossy"), _row("a", "c")], NOW)
    for step in range(1, STEPS):
        day.note([_row("a", "c")], NOW + step * STEP)
    assert day.pair("a", "b")["out"]["worst"][0] == "2"
    day.note([_row("a", "c")], NOW + STEPS * STEP)
    assert sorted(day.strips()["hosts"]) == ["a", "c"]
    assert set(day.strips()["hosts"]["a"]) == {"1"}


def test_gap_is_not_measured_and_a_clock_set_back_begins_a_new_day() -> None:
    day = Day()
    day.note([_row("a", "b")], NOW)
    day.note([_row("a", "b")], NOW + 3 * STEP)
    assert day.strips()["all"].endswith("1001")
    day.note([_row("a", "b")], NOW - 7 * STEP)
    assert day.strips()["all"] == "0" * 95 + "1"


def test_directions_are_bounded() -> None:
    day = Day()
    day.note([_row(f"n{number}", "x") for number in range(MOST + 10)], NOW)
    assert len(day.strips()["hosts"]) <= 64
    assert set(day.pair(f"n{MOST + 5}", "x")["out"]["worst"]) == {"0"}
