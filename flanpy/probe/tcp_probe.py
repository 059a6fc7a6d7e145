"""A TCP connect probe of hosts that leave ICMP unanswered: a host that refuses is alive, too."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from contextlib import suppress

from flanpy.clock import Clock
from flanpy.errors import UnableToAsk
from flanpy.model.address import IPAddress

_UNABLE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

TcpProbe = Callable[[IPAddress, float], Awaitable[float | None]]
"""Probes an address within so many seconds; returns what `tcp_probe` does."""


def tcp_probe_at(port: int, clock: Clock) -> TcpProbe:
    """Return the probe of one port of any host."""

    async def at(address: IPAddress, deadline: float) -> float | None:
        return await tcp_probe(address, port, clock=clock, deadline=deadline)

    return at


async def tcp_probe(address: IPAddress, port: int, *, clock: Clock, deadline: float) -> float | None:
    """Return the seconds until the host accepted or refused, None if it did neither in time.

    Raises UnableToAsk where this host lacks the means, descriptors or memory: that says nothing of the other.
    """
    began = clock.monotonic()
    try:
        async with asyncio.timeout(deadline):
            _, writer = await asyncio.open_connection(str(address), port)
    except ConnectionRefusedError:
        return clock.monotonic() - began
    except OSError as error:  # TimeoutError is one
        if error.errno in _UNABLE:
            raise UnableToAsk(f"cannot ask {address}: {error.strerror}; see the limits of flanpyd") from error
        return None
    took = clock.monotonic() - began
    with suppress(OSError):
        writer.transport.abort()
    return took
