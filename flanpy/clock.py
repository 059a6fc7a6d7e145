"""Time as a port: who waits or measures takes a `Clock`, so that tests can move time by hand.

Owns the one place that reads the machine's clocks. Deadlines, delays and ages use `monotonic()`; `wall()` is
only for what leaves the machine or the boot (timestamps in files and tables), as it can jump.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import suppress
from typing import Protocol


class Clock(Protocol):
    """The time, as far as a component may know it."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; never goes back."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch; may jump either way."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait at least `seconds`; cancelling the task ends the wait at once."""
        ...


class SystemClock:
    """The machine's clocks and the event loop's timers."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


async def set_within(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait until `event` is set, at most `seconds` (may be infinite); says whether it is set. Does not clear it.

    The caller waits for the event itself and only the timer is a task, so that news takes one turn of the loop.
    """
    if event.is_set() or seconds <= 0:
        # One turn of the loop all the same: a caller that is always due must not starve the others.
        await asyncio.sleep(0)
        return event.is_set()
    if seconds == math.inf:
        return await event.wait()
    timer = asyncio.create_task(clock.sleep(seconds))
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit:
            timer.add_done_callback(lambda done: _expire(done, limit))
            try:
                await event.wait()
            finally:
                timer.cancel()
    return event.is_set()


def _expire(timer: asyncio.Task[None], limit: asyncio.Timeout) -> None:
    if not timer.cancelled():
        with suppress(RuntimeError):  # the event came in the same turn
            limit.reschedule(0.0)
