"""The watch of one prefix: list it, then follow it without end.

Owns the position in etcd's history and the decision between resuming and listing again. Must not interpret keys or
values. In: a session's listings and streams. Out: `Snapshot | Delta | Progress | Stale`.

Positions. The position is the mod_revision of the last event, never the header's revision of an event reply: while etcd
catches up it sends partial batches, and the header may be ahead. A progress *notice* for our watch id is trusted; the
answer to a progress *request* (watch id -1) is a sign of life only, because etcd before 3.5.8 sends it past events that
are still queued (etcd issue 15220).

Resuming is refused, and the prefix listed again, if the position was compacted, lies in the future, belongs to
another cluster, or if the last key seen differs at that position: a wiped or restored etcd keeps its cluster id and
soon has revisions beyond ours. A case that still escapes (a restore whose rewritten history left that key alone) is
found by the periodic `relist`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from flanpy.errors import StoreCompacted, StoreDenied, StoreError, StoreUnavailable
from flanpy.store import etcdpb as pb
from flanpy.store.port import Delta, KeyValue, News, Progress, Snapshot, Stale
from flanpy.store.record import StoreRecord, logger
from flanpy.store.session import wire
from flanpy.store.session.stream import WatchCanceled, WatchStream

STARTED: Final = "started"
NOTHING_TO_RESUME_FROM: Final = "nothing_to_resume_from"


@dataclass(frozen=True, slots=True)
class WatchPace:
    """Seconds. A stream silent for `silence` is probed and has `answer` to reply; delays double between the bounds."""

    silence: float = 10.0
    answer: float = 3.0
    first_delay: float = 0.1
    longest_delay: float = 3.0

    def delay(self, failures: int, jitter: float) -> float:
        """Return the pause after the n-th failure in a row (from 1), shortened by up to half by `jitter` (0 to 1)."""
        full = min(self.longest_delay, self.first_delay * 2.0 ** min(failures - 1, 16))
        return full * (1 - jitter / 2)


class Source(Protocol):
    """The session as a watch needs it."""

    @property
    def record(self) -> StoreRecord:
        """Return the counters and outages."""
        ...

    @property
    def cluster_id(self) -> int:
        """Return the id of the cluster that answered last."""
        ...

    async def list(self, prefix: str) -> Snapshot:
        """Return all keys at one revision."""
        ...

    async def read_at(self, key: str, revision: int) -> KeyValue | None:
        """Return a key as it was at a revision."""
        ...

    async def open_stream(self, prefix: str, revision: int) -> tuple[WatchStream, pb.WatchResponse]:
        """Open a watch stream; return it and etcd's first reply."""
        ...

    async def next_reply(
        self, stream: WatchStream, interrupt: asyncio.Future[None], pace: WatchPace
    ) -> pb.WatchResponse | None:
        """Return `WatchStream.next` with grpc's errors translated."""
        ...


class PrefixWatch:
    """See `port.Watch`. Cancelling `__anext__` loses nothing: the next call goes on where it was."""

    def __init__(
        self,
        source: Source,
        prefix: str,
        *,
        pace: WatchPace,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Send nothing before the first `__anext__`."""
        self._source = source
        self._prefix = prefix
        self._pace = pace
        self._jitter = jitter
        self._reason: str | None = STARTED
        self._position = 0
        self._anchor: KeyValue | None = None
        self._cluster_id = 0
        self._fresh = False
        self._stream: WatchStream | None = None
        self._interrupt: asyncio.Future[None] | None = None
        self._failures = 0
        self._delay = 0.0
        self._stale = False
        self._denied = False
        self._refusal = ""
        self._closed = False

    def __aiter__(self) -> AsyncIterator[News]:
        return self

    async def __anext__(self) -> News:
        while not self._closed:
            try:
                news = await self._step()
            except StoreError as error:
                news = await self._fail(error)
            if news is not None:
                return news
        raise StopAsyncIteration

    def relist(self, reason: str) -> None:
        """See `port.Watch`."""
        if self._reason is None:
            self._reason = reason
        if self._interrupt is not None and not self._interrupt.done():
            self._interrupt.set_result(None)

    async def aclose(self) -> None:
        """See `port.Watch`."""
        self._closed = True
        await self._drop_stream()

    async def _step(self) -> News | None:
        if self._delay:
            await self._source.record.pause(self._delay)
            self._delay = 0.0
        if self._reason is not None:
            return await self._list(self._reason)
        if self._stream is None:
            return await self._resume()
        return await self._follow(self._stream)

    async def _list(self, reason: str) -> Snapshot:
        await self._drop_stream()
        # Cleared first: a caller that asks while this listing is under way gets another one.
        self._reason = None
        try:
            listed = await self._source.list(self._prefix)
        except BaseException:
            self._reason = reason
            raise
        self._cluster_id = self._source.cluster_id
        self._position = listed.revision
        self._anchor = max(listed.items, key=lambda item: item.mod_revision, default=None)
        self._fresh, self._stale = True, False
        self._source.record.listed(reason)
        self._source.record.restarted(listed.revision)
        # An empty prefix has no key to resume from: to list it again is the ordinary way, and what it finds is told.
        if reason != STARTED and (listed.items or reason != NOTHING_TO_RESUME_FROM):
            logger().info("watch_relisted", prefix=self._prefix, reason=reason, revision=listed.revision)
        return Snapshot(listed.items, listed.revision, reason)

    async def _resume(self) -> Progress | None:
        if not self._fresh and not await self._unchanged():
            return None
        stream, created = await self._source.open_stream(self._prefix, self._position + 1)
        self._stream = stream
        self._interrupt = asyncio.get_running_loop().create_future()
        if self._reason is not None:  # asked for while the stream was being opened
            return None
        if created.header.cluster_id != self._cluster_id:
            self._reason = "cluster_changed"
            return None
        resumed = not self._fresh
        self._fresh, self._stale, self._failures, self._refusal = False, False, 0, ""
        return Progress(self._position) if resumed else None

    async def _unchanged(self) -> bool:
        anchor = self._anchor
        if anchor is None:
            self._reason = NOTHING_TO_RESUME_FROM
        elif await self._source.read_at(anchor.key, self._position) != anchor:
            self._reason = "history_replaced"
        return self._reason is None

    async def _follow(self, stream: WatchStream) -> News | None:
        assert self._interrupt is not None
        reply = await self._source.next_reply(stream, self._interrupt, self._pace)
        return None if reply is None else self._read(reply, stream.watch_id)

    def _read(self, reply: pb.WatchResponse, watch_id: int) -> News | None:
        events = [event for event in reply.events if event.kv.mod_revision > self._position]
        if events:
            return self._advanced(wire.delta(events))
        if reply.events or reply.created or reply.watch_id != watch_id:
            return None
        self._position = max(self._position, reply.header.revision)
        return Progress(self._position)

    def _advanced(self, delta: Delta) -> Delta:
        self._position = delta.revision
        newest = max(delta.puts, key=lambda item: item.mod_revision, default=None)
        if newest is not None:
            self._anchor = newest
        elif any(self._anchor is not None and gone.key == self._anchor.key for gone in delta.deletes):
            self._anchor = None
        self._source.record.followed(self._position)
        return delta

    async def _fail(self, error: StoreError) -> Stale | None:
        if self._closed:
            return None
        await self._drop_stream()
        self._failures += 1
        self._fresh = False
        if isinstance(error, StoreCompacted):
            self._reason = self._reason or ("history_replaced" if error.rewound else "compacted")
            if self._failures == 1:
                return None  # the listing that follows at once is the answer
        elif isinstance(error, WatchCanceled):
            self._reason = self._reason or "watch_canceled"
        self._delay = self._pace.delay(self._failures, self._jitter())
        self._note(error)
        # Told again when that changes: an etcd that came back and refuses us wants another cure than one that is away.
        denied = isinstance(error, StoreDenied)
        if self._stale and denied is self._denied:
            return None
        self._stale, self._denied = True, denied
        return Stale(str(error))

    def _note(self, error: StoreError) -> None:
        # An unavailable etcd is the session's to report, and a lost history the listing's that follows. A refusal is
        # reported once, until it changes or ends.
        if not isinstance(error, StoreUnavailable | StoreCompacted) and str(error) != self._refusal:
            self._refusal = str(error)
            self._source.record.refused(self._prefix, self._refusal)

    async def _drop_stream(self) -> None:
        stream, self._stream, self._interrupt = self._stream, None, None
        if stream is not None:
            await stream.close()
