"""The board: one snapshot replaced whole, transitions logged and told once, totals that only grow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_type_hints

import pytest
from structlog.testing import capture_logs

from flanpy.model.condition import ConditionType
from flanpy.model.objects import Route
from flanpy.model.ops import Delete, Put
from flanpy.status.board import StatusBoard, StatusSnapshot
from flanpy.status.inputs import InputChanges, Inputs
from flanpy.status.judge.conditions import Phase
from tests.fakes.clock import FakeClock
from tests.status.passes import NOW, WELL, desired, link, own, passed, refused

ROUTE = next(obj for obj in desired().values() if isinstance(obj, Route))


@pytest.fixture
def told() -> list[StatusSnapshot]:
    return []


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=NOW)


@pytest.fixture
def board(clock: FakeClock, told: list[StatusSnapshot]) -> StatusBoard:
    board = StatusBoard(clock, told.append)
    _show(board, WELL)
    board.judge_again()
    told.clear()
    return board


def _show(board: StatusBoard, inputs: Inputs) -> None:
    board.note(**{name: getattr(inputs, name) for name in Inputs.__slots__ if name != "pools"})


def _events(logs: list[Any]) -> list[tuple[str, str]]:
    return [
        (line["event"], line.get("condition", line.get("phase")).value)
        for line in logs
        if line["event"] in {"condition_raised", "condition_cleared", "phase_changed"}
    ]


def test_board_tells_nothing_when_the_same_is_noted_again(
    board: StatusBoard, told: list[StatusSnapshot]
) -> None:
    with capture_logs() as logs:
        _show(board, WELL)
        board.judge_again()
        board.note_pass(passed())
    assert told == []
    assert logs == []


def test_board_tells_and_logs_each_transition_once(board: StatusBoard, told: list[StatusSnapshot]) -> None:
    with capture_logs() as logs:
        board.note(subnet_file="", subnet_file_error="disk full")
        board.note(subnet_file="", subnet_file_error="disk full")
        board.note(subnet_file="written", subnet_file_error="")
    assert _events(logs) == [
        ("condition_raised", "SubnetFileWritten"),
        ("phase_changed", "DEGRADED"),
        ("condition_cleared", "SubnetFileWritten"),
        ("phase_changed", "READY"),
    ]
    raised = logs[0]
    assert (raised["reason"], raised["error"], raised["log_level"]) == ("WriteFailed", "disk full", "warning")
    assert raised["action"]
    assert [(one.ready, one.phase) for one in told] == [(False, Phase.DEGRADED), (True, Phase.READY)]


def test_board_logs_a_trouble_that_follows_ignorance_or_another_trouble(clock: FakeClock) -> None:
    board = StatusBoard(clock)
    with capture_logs() as logs:
        board.note(last=passed(desired=None))
        board.note(last=passed(failures=(refused(link()),)))
        board.note(last=passed(failures=(refused(link()),)))
        board.note(last=passed(desired=None, error="no netlink"))
    backend = [line for line in logs if line.get("condition") is ConditionType.BACKEND_READY]
    assert [(line["event"], line["reason"]) for line in backend] == [
        ("condition_raised", "LinkFailed"),
        ("condition_raised", "KernelUnreadable"),
    ]


def test_board_tells_of_a_new_message_but_does_not_log_it(
    board: StatusBoard, told: list[StatusSnapshot]
) -> None:
    board.note(subnet_file="", subnet_file_error="disk full")
    with capture_logs() as logs:
        board.note(subnet_file="", subnet_file_error="still full")
    assert logs == []
    assert told[-1].inputs.subnet_file_error == "still full"


@pytest.mark.asyncio
async def test_lease_runs_out_by_time_alone(
    board: StatusBoard, clock: FakeClock, told: list[StatusSnapshot]
) -> None:
    _show(board, own(expires_at=NOW + 10))
    await clock.advance(9.9)
    board.judge_again()
    assert told == []
    await clock.advance(0.2)
    board.judge_again()
    assert [(one.ready, board.snapshot.ready) for one in told] == [(False, False)]


def test_snapshot_is_replaced_and_the_old_one_stays_as_it_was(board: StatusBoard) -> None:
    before = board.snapshot
    copy = replace(before)
    board.note(stopping=True)
    assert board.snapshot is not before
    assert before == copy
    assert board.snapshot.phase is Phase.STOPPING


def test_totals_count_passes_operations_errors_repairs_and_read_backs(board: StatusBoard) -> None:
    start = board.snapshot.totals
    board.note_pass(
        passed(
            ops=(Put(ROUTE), Put(ROUTE, previous=ROUTE), Delete(ROUTE), Put(link())),
            failures=(refused(link(), 1), refused(ROUTE, 12), refused(ROUTE, 12)),
            resync="timer",
            repairs={"route": 2},
            took=0.5,
        )
    )
    board.note_pass(passed(resync="timer", repairs={"route": 1, "link": 1}, took=0.25))
    totals = board.snapshot.totals
    assert totals.passes - start.passes == 2
    assert totals.pass_took.sum - start.pass_took.sum == 0.75
    assert totals.pass_took.count - start.pass_took.count == 2
    assert totals.ops == {
        ("route", "add"): 1,
        ("route", "replace"): 1,
        ("route", "delete"): 1,
        ("link", "add"): 1,
    }
    assert totals.refusals == {("link", 1): 1, ("route", 12): 2}
    assert totals.repairs == {"route": 3, "link": 1}
    assert totals.repairs_by_reason == {("route", "timer"): 3, ("link", "timer"): 1}
    assert totals.resyncs == {"timer": 2}


def test_changes_are_the_inputs_by_name_and_type() -> None:
    inputs = get_type_hints(Inputs)
    assert get_type_hints(InputChanges).items() <= inputs.items()
    assert inputs.keys() - get_type_hints(InputChanges) == {"pools"}
