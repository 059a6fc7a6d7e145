"""Sleep that news can end: at once if it is urgent, a little later if not, so that a burst costs one awakening."""

from __future__ import annotations

import asyncio

from flanpy.clock import Clock, set_within

AT_ONCE = 0.0
"""Seconds to rest when there is something left to do."""


class Alarm:
    """Wakes one task. Rings that come while it is awake count for its next rest."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()

    def ring(self, *, urgent: bool) -> None:
        """Report news to the sleeper."""
        self._news.set()
        if urgent:
            self._urgent.set()

    async def rest(self, seconds: float, *, quiet: float) -> None:
        """Sleep for `seconds` (may be infinite), until urgent news, or until `quiet` seconds after other news."""
        if seconds > 0 and not await self._passes(self._news, seconds):
            await self._passes(self._urgent, min(quiet, seconds))
        self._news.clear()
        self._urgent.clear()

    async def _passes(self, event: asyncio.Event, seconds: float) -> bool:
        """Report whether `seconds` passed before `event` came."""
        return not await set_within(event, self._clock, seconds)
