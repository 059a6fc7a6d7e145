"""Time as a port: who waits or measures takes a `Clock`, so that tests can move time by hand.

Owns the one place that reads the machine's clocks. Deadlines, delays and ages use `monotonic()`; `wall()` is
only for what leaves the machine or the boot (timestamps in files and tables), as it can jump.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What a component may know about time."""

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
