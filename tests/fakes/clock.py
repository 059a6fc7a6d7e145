"""A clock that stands still until a test moves it.

`advance` wakes sleepers in the order of their deadlines and lets the tasks run in between, so that a task which
sleeps again within the span is woken again, as on the real clock. Waiting for anything but this clock (a socket, a
process) is not virtual: use the system's clock in such a test.
"""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

# Enough for a woken task to pass its news through several others; a turn of an idle loop costs microseconds.
_TURNS = 50


async def settle(turns: int = _TURNS) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


class FakeClock:
    """A `flanpy.clock.Clock`. Wall time runs along with monotonic time until a test sets it off by `jump`."""

    def __init__(self, *, monotonic: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = monotonic
        self._offset = wall - monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._offset

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward (or back), as an administrator or NTP would."""
        self._offset += seconds

    @property
    def sleepers(self) -> int:
        """Return the number of tasks that wait for this clock."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        end = self._now + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            deadline, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, deadline)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end
        await settle()
