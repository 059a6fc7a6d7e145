"""The record of our calls to etcd: counters for the metrics, and one log line at each end of an outage.

Owns the counting and the transitions. Must not know grpc. `snapshot()` hands out frozen values.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from flanpy.clock import Clock
from flanpy.model.histogram import Histogram

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

OK = "OK"
_OTHERS_WAIT = 5
"""How much longer those pause in an outage who wait while another does: each try is a handshake at every endpoint."""


def logger() -> FilteringBoundLogger:
    """Return the store's logger, loaded on first use: `flanpyctl` lists from etcd without logging, 25 ms sooner."""
    from flanpy.log import get_logger  # noqa: PLC0415

    return get_logger()


@dataclass(frozen=True, slots=True)
class StoreStats:
    """State of the connection at one moment; times are monotonic, None where there is none.

    `heard` is the last sign of life. `calls` counts by (operation, gRPC code name); `resyncs` counts listings of a
    watch by reason. `took` are the seconds of answered calls by operation.
    """

    calls: Mapping[tuple[str, str], int]
    latency_s: Mapping[str, float]
    resyncs: Mapping[str, int]
    tokens_renewed: int
    watch_revision: int
    endpoint: str
    connected_since: float | None
    outage_since: float | None
    heard: float | None = None
    took: Mapping[str, Histogram] = field(default_factory=lambda: MappingProxyType({}))


class StoreRecord:
    """Counts calls and listings, and knows whether etcd answers."""

    def __init__(self, clock: Clock) -> None:
        """Start neither connected nor in an outage."""
        self.tokens_renewed = 0
        self._clock = clock
        self._calls: Counter[tuple[str, str]] = Counter()
        self._latency: dict[str, float] = {}
        self._took: dict[str, Histogram] = {}
        self._resyncs: Counter[str] = Counter()
        self._watch_revision = 0
        self._endpoint = ""
        self._connected_since: float | None = None
        self._outage_since: float | None = None
        self._heard: float | None = None
        self._failures = 0
        self._refusals: set[str] = set()
        self._connected = asyncio.Event()
        self._pausing = 0

    def answered(self, operation: str, endpoint: object, took: float) -> None:
        """Note that a call got its answer, so etcd is reachable."""
        self._calls[operation, OK] += 1
        self._latency[operation] = took
        self._took[operation] = self._took.get(operation, Histogram()).with_one(took)
        self._endpoint = str(endpoint)
        self.heard()
        if self._connected_since is None:
            self._recover()

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = self._clock.monotonic()

    def failed(self, operation: str, code: str) -> None:
        """Note one failed attempt; another may still succeed."""
        self._calls[operation, code] += 1

    def lost(self, error: Exception, endpoint: object) -> None:
        """Note that no attempt succeeded: an outage begins, if there is none already."""
        self._failures += 1
        if self._outage_since is None:
            self._outage_since = self._clock.monotonic()
            self._connected_since = None
            self._connected.clear()
            logger().warning("datastore_lost", endpoint=str(endpoint), error=str(error))

    def refused(self, prefix: str, error: str) -> None:
        """Log that etcd refuses a watch. In an outage it refuses all of them for one reason, which is told once."""
        if self._outage_since is not None:
            if error in self._refusals:
                return
            self._refusals.add(error)
        logger().warning("watch_refused", prefix=prefix, error=error)

    def listed(self, reason: str) -> None:
        """Note that a watch listed its prefix again."""
        self._resyncs[reason] += 1

    def followed(self, revision: int) -> None:
        """Note that a watch is at `revision`."""
        self._watch_revision = max(self._watch_revision, revision)

    def restarted(self, revision: int) -> None:
        """Note that a watch listed at `revision`, which may be lower than before if etcd was wiped."""
        self._watch_revision = revision

    async def pause(self, seconds: float) -> None:
        """Wait; in an outage only until any caller reaches etcd again, for which one of the waiting callers tries."""
        if self._outage_since is None:
            await self._clock.sleep(seconds)
            return
        others, self._pausing = self._pausing, self._pausing + 1
        try:
            async with asyncio.timeout(seconds * (_OTHERS_WAIT if others else 1)):
                await self._connected.wait()
        except TimeoutError:
            pass
        finally:
            self._pausing -= 1

    def snapshot(self) -> StoreStats:
        """Return the present counters."""
        return StoreStats(
            MappingProxyType(dict(self._calls)),
            MappingProxyType(dict(self._latency)),
            MappingProxyType(dict(self._resyncs)),
            self.tokens_renewed,
            self._watch_revision,
            self._endpoint,
            self._connected_since,
            self._outage_since,
            self._heard,
            MappingProxyType(dict(self._took)),
        )

    def _recover(self) -> None:
        now = self._clock.monotonic()
        if self._outage_since is not None:
            outage = round(now - self._outage_since, 3)
            logger().info("datastore_recovered", endpoint=self._endpoint, outage=outage, count=self._failures)
        self._connected_since, self._outage_since, self._failures = now, None, 0
        self._refusals.clear()
        self._connected.set()
