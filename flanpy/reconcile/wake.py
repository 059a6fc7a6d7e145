"""Waiting for an event or a time, whichever comes first, on an injected clock."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from flanpy.clock import Clock


async def set_within(event: asyncio.Event, clock: Clock, seconds: float) -> bool:
    """Wait until `event` is set, at most `seconds`; says whether it is set. Does not clear it."""
    if event.is_set() or seconds <= 0:
        # One turn of the loop all the same: a caller that is always due must not starve the others.
        await asyncio.sleep(0)
        return event.is_set()
    waiter = asyncio.create_task(event.wait())
    timer = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({waiter, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (waiter, timer):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
    return event.is_set()
