"""The limits of a listener, what is ended when one is met, and the count of that."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web
    from prometheus_client.metrics_core import Metric

BACKLOG = 64
"""Connections that wait to be accepted, and the most that asyncio accepts in one turn."""

CONTROL_BACKLOG = 256
"""The control socket's backlog. A unix socket refuses a caller when it is full, where TCP has the caller wait."""

TLS_BACKLOG = 512
"""Connections that wait while handshakes are ended, one a turn. They cost the kernel's memory only."""

MOST_CONNECTIONS = 128
"""Per listener. A further one ends the oldest: unknown clients must not use up our descriptors and memory."""

MOST_HANDSHAKES = 32
"""TLS handshakes under way at one listener, beside its connections: 10 MB. A further one ends another."""

HANDSHAKE_DEADLINE = 5.0
"""Seconds that a TLS handshake may take."""


class Limit(Enum):
    """The resource that was used up."""

    CONNECTIONS = "connections"
    HANDSHAKES = "handshakes"
    STREAMS = "streams"


exceeded: Counter[Limit] = Counter()
"""How often each limit made us end or refuse a connection since start: of all listeners together."""


def limit_counts() -> Iterator[Metric]:
    """Yield a row for each limit, also for those never met."""
    from flanpy.status.metrics.families import counter  # noqa: PLC0415, with the listeners

    yield counter(
        "flanpy_http_limited",
        "HTTP connections ended or refused, by the limit they would have passed.",
        ("limit",),
        [((limit.value,), float(exceeded[limit])) for limit in Limit],
    )


def bound(server: web.Server) -> None:
    """Let no more than so many connections be open."""
    welcome = server.connection_made

    def connection_made(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        open_ones = [t for t in (one.transport for one in server.connections) if t and not t.is_closing()]
        for oldest in open_ones[: max(0, len(open_ones) + 1 - MOST_CONNECTIONS)]:
            exceeded[Limit.CONNECTIONS] += 1
            oldest.abort()
        welcome(handler, transport)

    server.connection_made = connection_made  # type: ignore[method-assign]
