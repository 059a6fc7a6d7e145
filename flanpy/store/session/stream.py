"""One watch call to etcd: opened, read, probed, closed.

Owns one gRPC stream with one watch in it, so that watch ids cannot collide (etcd 3.5.1 answers a refused watch
with id 0, which an innocent watch may have). The one exception is the spare watch, which `etcd grpc-proxy` is asked for
in place of its progress: it drops progress requests unanswered (server/proxy/grpcproxy/watch.go). Must not decide what
follows a failure: it raises grpc's errors or ours.
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


# Two ways to ask for a sign of life share the time for the answer.
_WAYS = 2
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
        self._asked = 0
        self._mute = False
        self._key = b""
        self._spare: int | None = None

    async def start(self, prefix: str, revision: int, *, within: float) -> pb.WatchResponse:
        """Watch `prefix` from `revision` on; etcd's first reply."""
        start, end = wire.prefix_range(prefix)
        self._key = start
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
        """Return the next reply, or None if `interrupt` came first or etcd sent nothing.

        After `silence` seconds etcd is asked for a sign of life, in two ways; raises `StoreUnavailable` if `answer`
        seconds later none has come. grpc's keepalive notices a dead connection; this notices a server that is
        connected and stuck.
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
        self._deadline, self._asked = 0.0, 0
        if reading.cancelled():
            raise self._ended()
        return self._checked(reading.result())

    async def _probe(self, silence: float, answer: float) -> None:
        if self._asked == _WAYS:
            raise silent(self.connection.endpoint, silence + answer)
        within = answer / (1 if self._mute else _WAYS)
        self._mute = self._mute or self._asked > 0
        self._asked = _WAYS if self._mute else 1
        self._deadline = asyncio.get_running_loop().time() + within
        try:
            async with asyncio.timeout(within):
                with suppress(asyncio.InvalidStateError):
                    await self._call.write(self._question())
        except TimeoutError as error:
            raise silent(self.connection.endpoint, silence + answer) from error

    def _question(self) -> pb.WatchRequest:
        """Make a request that is answered: for progress, or, of a server that does not tell it, by turns to open and to
        end a watch of the prefix itself as a key. No host writes that key, so nothing is heard twice."""
        if not self._mute:
            return pb.WatchRequest(progress_request=pb.WatchProgressRequest())
        if self._spare is None:
            return pb.WatchRequest(create_request=pb.WatchCreateRequest(key=self._key))
        return pb.WatchRequest(cancel_request=pb.WatchCancelRequest(watch_id=self._spare))

    def _is_spare(self, reply: pb.WatchResponse) -> bool:
        if reply.canceled and reply.watch_id == self._spare:
            self._spare = None
            return True
        if self._mute and reply.created and not reply.canceled and reply.watch_id != self.watch_id:
            self._spare = reply.watch_id
        return reply.watch_id == self._spare

    def _checked(self, reply: Any) -> pb.WatchResponse:
        if reply is grpc.aio.EOF:
            raise self._ended()
        assert isinstance(reply, pb.WatchResponse)
        if self._is_spare(reply):
            return reply
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
