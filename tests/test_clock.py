"""The clock port: the same promises on the machine's clock and on the fake."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from flanpy.clock import Clock, SystemClock
from tests.fakes.clock import FakeClock, settle

Pass = Callable[[float], Awaitable[None]]


def _clocks() -> list[tuple[Clock, Pass]]:
    fake = FakeClock()
    return [(SystemClock(), asyncio.sleep), (fake, fake.advance)]


@pytest.mark.asyncio
async def test_sleep_ends_after_its_time_and_not_before_it() -> None:
    for clock, let_pass in _clocks():
        began = clock.monotonic()
        sleeper = asyncio.create_task(clock.sleep(1 / 32))
        while not sleeper.done():
            await let_pass(1 / 128)
        assert clock.monotonic() - began >= 1 / 32 - 0.001  # the loop's timers may be a clock tick early


@pytest.mark.asyncio
@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_sleep_ends_at_once_when_no_time_is_left(seconds: float) -> None:
    for clock, _ in _clocks():
        await asyncio.wait_for(clock.sleep(seconds), 5)


@pytest.mark.asyncio
async def test_sleep_ends_with_cancellation_when_its_task_is_cancelled() -> None:
    for clock, _ in _clocks():
        sleeper = asyncio.create_task(clock.sleep(3600))
        await settle(2)
        sleeper.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(sleeper, 5)


def test_system_clock_reads_the_two_clocks_of_the_machine() -> None:
    clock = SystemClock()
    before, wall = time.monotonic(), time.time()
    assert before <= clock.monotonic() <= time.monotonic()
    assert wall <= clock.wall() <= time.time()


@pytest.mark.asyncio
async def test_fake_clock_wakes_sleepers_in_the_order_of_their_deadlines() -> None:
    clock, woken = FakeClock(monotonic=0), list[tuple[str, float]]()

    async def nap(name: str, *seconds: float) -> None:
        for each in seconds:
            await clock.sleep(each)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        group.create_task(nap("late", 5))
        group.create_task(nap("twice", 1, 3))
        await clock.advance(4.5)
        assert woken == [("twice", 1.0), ("twice", 4.0)]
        assert clock.sleepers == 1
        await clock.advance(0.5)
    assert woken[-1] == ("late", 5.0)


@pytest.mark.asyncio
async def test_fake_clock_forgets_a_sleeper_that_was_cancelled() -> None:
    clock = FakeClock()
    sleeper = asyncio.create_task(clock.sleep(1))
    await settle()
    sleeper.cancel()
    await settle()
    assert clock.sleepers == 0
    await clock.advance(2)


def test_fake_clock_moves_only_its_wall_when_it_jumps() -> None:
    clock = FakeClock(monotonic=5, wall=100)
    clock.jump(-60)
    assert (clock.monotonic(), clock.wall()) == (5, 40)
