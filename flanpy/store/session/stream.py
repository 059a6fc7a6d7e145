"""One watch call to etcd: opened, read, probed, closed.

Owns one gRPC stream with one watch in it, so that watch ids cannot collide (etcd 3.5.1 answers a refused watch
with id 0, which an innocent watch may have). Must not decide what follows a failure: it raises grpc's errors or ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc.aio

from flanpy.errors import StoreCompacted, StoreError, StoreUnavailable
from flanpy.store import etcdpb as pb
from flanpy.store.session import wire
from flanpy.store.session.auth import Metadata
from flanpy.store.session.channel import Connection
from flanpy.store.session.faults import silent


class WatchCanceled(StoreError):
    """etcd ended the watch for a reason other than compaction; a listing will tell which."""


# A member that lost its leader then ends the stream, instead of keeping it silently open.
_REQUIRE_LEADER: Metadata = (("hasleader", "true"),)


class WatchStream:
    """A stream with one watch. `next` may be cancelled and called again without losing a reply."""

    def __init__(self, connection: Connection, metadata: Metadata, release: Callable[[], None]) -> None:
        """`release` is called once, when the stream is closed."""
        self.connection = connection
        self.watch_id = 0
        self._release = release
        self._call = connection.stubs.watch.Watch(metadata=metadata + _REQUIRE_LEADER)
        self._reading: asyncio.Task[Any] | None = None
        self._deadline = 0.0
        self._probed = False

    async def start(self, prefix: str, revision: int, *, within: float) -> pb.WatchResponse:
        """Watch `prefix` from `revision` on; etcd's first reply."""
        start, end = wire.prefix_range(prefix)
        create = pb.WatchCreateRequest(
            key=start, range_end=end, start_revision=revision, progress_notify=True
        )
        try:
            async with asyncio.timeout(within):
                with suppress(asyncio.InvalidStateError):  # it failed already: reading tells why
                    await self._call.write(pb.WatchRequest(create_request=create))
                created = self._checked(await self._call.read())
        except TimeoutError as error:
            raise silent(self.connection.endpoint, within) from error
        self.watch_id = created.watch_id
        return created

    async def next(
        self, interrupt: asyncio.Future[None], *, silence: float, answer: float
    ) -> pb.WatchResponse | None:
        """The next reply, or None if `interrupt` came first or nothing was said.

        After `silence` seconds etcd is asked for a sign of life; raises `StoreUnavailable` if `answer` seconds later
        none has come. grpc's keepalive notices a dead connection; this notices a server that is connected and stuck.
        """
        loop = asyncio.get_running_loop()
        if self._reading is None:
            self._reading = asyncio.create_task(self._call.read(), name="etcd-watch-read")
        if not self._deadline:
            self._deadline = loop.time() + silence
        if not self._reading.done():
            left = max(0.0, self._deadline - loop.time())
            await asyncio.wait({self._reading, interrupt}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if self._reading is None:
            raise self._ended()
        if self._reading.done():
            return self._take()
        if not interrupt.done() and loop.time() >= self._deadline:
            await self._probe(silence, answer)
        return None

    async def close(self) -> None:
        """End the call and give back the connection; once is enough, twice does no harm."""
        self._call.cancel()
        reading, self._reading = self._reading, None
        release, self._release = self._release, _nothing
        release()
        if reading is not None:
            reading.add_done_callback(_seen)
            await asyncio.wait({reading}, timeout=1)

    def _take(self) -> pb.WatchResponse:
        assert self._reading is not None
        reading, self._reading = self._reading, None
        self._deadline, self._probed = 0.0, False
        if reading.cancelled():
            raise self._ended()
        return self._checked(reading.result())

    async def _probe(self, silence: float, answer: float) -> None:
        if self._probed:
            raise silent(self.connection.endpoint, silence + answer)
        self._probed = True
        self._deadline = asyncio.get_running_loop().time() + answer
        try:
            async with asyncio.timeout(answer):
                with suppress(asyncio.InvalidStateError):
                    await self._call.write(pb.WatchRequest(progress_request=pb.WatchProgressRequest()))
        except TimeoutError as error:
            raise silent(self.connection.endpoint, silence + answer) from error

    def _checked(self, reply: Any) -> pb.WatchResponse:
        if reply is grpc.aio.EOF:
            raise self._ended()
        assert isinstance(reply, pb.WatchResponse)
        if reply.compact_revision:
            text = f"etcd at {self.connection.endpoint} compacted up to {reply.compact_revision}: list again"
            raise StoreCompacted(text) from wire.compacted(reply.compact_revision)
        if reply.canceled:
            text = reply.cancel_reason or "no reason given"
            raise WatchCanceled(f"etcd at {self.connection.endpoint} canceled the watch: {text}")
        return reply

    def _ended(self) -> StoreUnavailable:
        return StoreUnavailable(f"etcd at {self.connection.endpoint} ended the watch: see that it runs")


def _nothing() -> None:
    pass


def _seen(task: asyncio.Task[Any]) -> None:
    # The result of a read that nobody waits for any more; looked at, or asyncio reports it as never retrieved.
    if not task.cancelled():
        task.exception()
