"""A TCP connect probe of hosts that leave ICMP unanswered: a host that refuses is alive, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from flanpy.clock import Clock
from flanpy.model.address import IPAddress

Knock = Callable[[IPAddress, float], Awaitable[float | None]]
"""Knocks at an address, within so many seconds; returns what `knock` does."""


def knock_at(port: int, clock: Clock) -> Knock:
    """Return the knock at one port of any host."""

    async def at(address: IPAddress, deadline: float) -> float | None:
        return await knock(address, port, clock=clock, deadline=deadline)

    return at


async def knock(address: IPAddress, port: int, *, clock: Clock, deadline: float) -> float | None:
    """Return the seconds until the host accepted or refused, None if it did neither in time."""
    began = clock.monotonic()
    try:
        async with asyncio.timeout(deadline):
            _, writer = await asyncio.open_connection(str(address), port)
    except ConnectionRefusedError:
        return clock.monotonic() - began
    except OSError:  # TimeoutError is one
        return None
    took = clock.monotonic() - began
    with suppress(OSError):
        writer.transport.abort()
    return took
