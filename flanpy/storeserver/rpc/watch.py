"""The service Watch: many watches over one stream.

Owns the order of answers within a stream: a watch is told of as created before its first event, and progress only when
nothing that came before it waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any, Final

from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import Access, Rights
from flanpy.storeserver.refusal import Refusal, RefusalReason
from flanpy.storeserver.rpc.calls import Context, answering, refuse
from flanpy.storeserver.store import Store
from flanpy.storeserver.watchers import CompactedAway, Watcher, is_empty, pieces, span_of

PROGRESS_S: Final = 600.0
"""A watch that asked for it is told of progress when it had no event for so long: etcd's period."""
MOST_BYTES: Final = 1536 * 1024
"""Events of one answer, for a watch that takes them in pieces."""
_NO_WATCH: Final = -1
_EMPTY_RANGE: Final = "mvcc: watcher range is empty"
_DUPLICATE_ID: Final = "mvcc: duplicate watch ID provided on the WatchStream"


class Watches(pb.WatchServicer):
    """etcdserverpb.Watch."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def Watch(  # noqa: N802
        self, requests: AsyncIterator[pb.WatchRequest], context: Context
    ) -> None:
        async with answering(context):
            rights = self._access.of(context)
        stream = _Stream(self._store, rights)
        reading = asyncio.create_task(stream.read(requests), name="watch-requests")
        try:
            with self._access.holding(rights, stream.lose):
                await stream.tell(context)
        except Refusal as refusal:
            await refuse(context, refusal)
        finally:
            stream.close()
            reading.cancel()
            await asyncio.wait({reading})


class _Stream:
    """One call, its watches and what it still has to say."""

    def __init__(self, store: Store, rights: Rights) -> None:
        self._store = store
        self._rights = rights
        self._watches: dict[int, Watcher] = {}
        self._told_at: dict[int, float] = {}
        self._next_id = 0
        self._said: deque[pb.WatchResponse] = deque()
        self._wake = asyncio.Event()
        self._progress = 0
        self._lost = False

    def lose(self) -> None:
        """End the call: its caller is not a member any more."""
        self._lost = True
        self._wake.set()

    def close(self) -> None:
        """Forget all watches."""
        for watcher in self._watches.values():
            self._store.watchers.remove(watcher)
        self._watches.clear()

    async def read(self, requests: AsyncIterator[pb.WatchRequest]) -> None:
        """Do what the client asks for. Having no more to ask it still listens, as with etcd."""
        async for request in requests:
            match request.WhichOneof("request_union"):
                case "create_request":
                    self._create(request.create_request)
                case "cancel_request":
                    self._cancel(request.cancel_request.watch_id)
                case "progress_request":
                    self._progress += 1
            self._wake.set()

    async def tell(self, context: Context) -> None:
        """Say what there is to say, until the call is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._quiet_for()):
                    await self._wake.wait()
            self._wake.clear()
            if self._lost:
                raise Refusal(RefusalReason.NO_MEMBER)
            while answers := self._answers():
                for answer in answers:
                    await context.write(answer)

    def _create(self, request: pb.WatchCreateRequest) -> None:
        span = span_of(request.key, request.range_end)
        refused = self._refused(request, span)
        if refused:
            self._say(watch_id=_NO_WATCH, created=True, canceled=True, cancel_reason=refused)
            return
        watch_id = request.watch_id or self._free_id()
        watcher = Watcher(
            watch_id,
            span,
            request.start_revision or self._store.watchers.revision + 1,
            self._wake.set,
            skips_puts=pb.WatchCreateRequest.NOPUT in request.filters,
            skips_deletes=pb.WatchCreateRequest.NODELETE in request.filters,
            with_previous=request.prev_kv,
            fragments=request.fragment,
            tells_progress=request.progress_notify,
        )
        self._watches[watch_id] = watcher
        self._told_at[watch_id] = _now()
        self._store.watchers.add(watcher)
        self._say(watch_id=watch_id, created=True)

    def _refused(self, request: pb.WatchCreateRequest, span: tuple[bytes, bytes]) -> str:
        if is_empty(span):
            return _EMPTY_RANGE
        if request.watch_id and request.watch_id in self._watches:
            return _DUPLICATE_ID
        try:
            self._rights.read(*span)
        except Refusal as refusal:
            return refusal.reason.text
        return ""

    def _free_id(self) -> int:
        while self._next_id in self._watches:
            self._next_id += 1
        self._next_id += 1
        return self._next_id - 1

    def _cancel(self, watch_id: int) -> None:
        if self._drop(watch_id):
            self._say(watch_id=watch_id, canceled=True)

    def _drop(self, watch_id: int) -> bool:
        watcher = self._watches.pop(watch_id, None)
        if watcher is None:
            return False
        self._told_at.pop(watch_id, None)
        self._store.watchers.remove(watcher)
        return True

    def _say(self, **fields: Any) -> None:
        self._said.append(self._answer(**fields))

    def _answer(self, **fields: Any) -> pb.WatchResponse:
        header = self._store.header()
        header.revision = self._store.watchers.revision
        return pb.WatchResponse(header=header, **fields)

    def _answers(self) -> list[pb.WatchResponse]:
        """Return what is to be sent now: first what was asked for, then events, then progress."""
        answers = list(self._said)
        self._said.clear()
        for watcher in list(self._watches.values()):
            answers += self._events(watcher)
        if not answers and self._progress:
            self._progress -= 1
            answers.append(self._answer(watch_id=_NO_WATCH))
        return answers or list(self._signs_of_life())

    def _events(self, watcher: Watcher) -> Iterable[pb.WatchResponse]:
        try:
            events = self._store.take(watcher)
        except CompactedAway as gone:
            self._drop(watcher.id)
            return [self._answer(watch_id=watcher.id, canceled=True, compact_revision=gone.revision)]
        if watcher.lagging:
            self._wake.set()
        if not events:
            return []
        self._told_at[watcher.id] = _now()
        if not watcher.fragments:
            return [self._answer(watch_id=watcher.id, events=events)]
        cut = list(pieces(events, MOST_BYTES))
        return [
            self._answer(watch_id=watcher.id, events=piece, fragment=number < len(cut))
            for number, piece in enumerate(cut, 1)
        ]

    def _signs_of_life(self) -> Iterable[pb.WatchResponse]:
        now = _now()
        for watcher in self._watches.values():
            if watcher.tells_progress and now - self._told_at[watcher.id] >= PROGRESS_S:
                self._told_at[watcher.id] = now
                yield self._answer(watch_id=watcher.id)

    def _quiet_for(self) -> float | None:
        told = [self._told_at[watcher.id] for watcher in self._watches.values() if watcher.tells_progress]
        return max(0.0, min(told) + PROGRESS_S - _now()) if told else None


def _now() -> float:
    return asyncio.get_running_loop().time()
