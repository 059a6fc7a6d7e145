"""A wall clock that jumps says nothing of a lease: that runs out by time that passes."""

from __future__ import annotations

import pytest

from flanpy.status.board import StatusBoard
from tests.fakes.clock import FakeClock
from tests.status.passes import NOW, WELL, own

HOUR = 3600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=NOW)


def _board(clock: FakeClock, *, expires_in: float) -> StatusBoard:
    board = StatusBoard(clock)
    for name in ("store", "network", "last", "subnet_file", "lease_file", "tuning", "docker"):
        board.note(**{name: getattr(WELL, name)})
    board.note(own=own(expires_at=clock.wall() + expires_in).own)
    board.judge_again()
    return board


@pytest.mark.parametrize("jump", [3 * HOUR, -3 * HOUR, 400 * 24 * HOUR])
def test_jump_of_the_wall_clock_expires_no_lease_and_is_followed_by_what_is_shown(
    clock: FakeClock, jump: float
) -> None:
    board = _board(clock, expires_in=2 * HOUR)
    assert board.snapshot.ready
    clock.jump(jump)
    board.judge_again()
    assert board.snapshot.ready
    shown = board.snapshot.inputs.own.expires_at
    assert shown is not None
    assert shown - clock.wall() == pytest.approx(2 * HOUR, abs=2)


@pytest.mark.parametrize("jump", [3 * HOUR, -3 * HOUR])
def test_news_that_comes_first_after_a_jump_finds_the_lease_valid(clock: FakeClock, jump: float) -> None:
    board = _board(clock, expires_in=2 * HOUR)
    clock.jump(jump)
    board.note(stopping=False)
    assert board.snapshot.ready


async def _expired_after(clock: FakeClock, jump: float) -> bool:
    board = _board(clock, expires_in=2 * HOUR)
    clock.jump(jump)
    await clock.advance(2 * HOUR + 2)
    board.judge_again()
    return not board.snapshot.ready


@pytest.mark.asyncio
@pytest.mark.parametrize("jump", [3 * HOUR, -3 * HOUR])
async def test_lease_expires_when_its_time_has_passed_whatever_the_wall_clock_says(
    clock: FakeClock, jump: float
) -> None:
    assert await _expired_after(clock, jump)


def test_lease_noted_right_after_a_jump_is_taken_as_it_is(clock: FakeClock) -> None:
    board = _board(clock, expires_in=2 * HOUR)
    clock.jump(5 * HOUR)
    board.note(own=own(expires_at=clock.wall() + 24 * HOUR).own)
    board.judge_again()
    shown = board.snapshot.inputs.own.expires_at
    assert shown is not None
    assert shown - clock.wall() == pytest.approx(24 * HOUR, abs=2)


@pytest.mark.asyncio
async def test_clock_that_is_slewed_drags_the_lease_along(clock: FakeClock) -> None:
    board = _board(clock, expires_in=2 * HOUR)
    for _ in range(100):
        clock.jump(100.0)
        await clock.advance(1)
        board.judge_again()
    assert board.snapshot.ready
