"""The store as its services see it: reads, writes, leases, watches, alarms.

Owns the two connections (one reads on the event loop, one writes on its thread), the running times of leases and the
alarm. Must not know gRPC.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from flanpy.clock import Clock
from flanpy.log import get_logger
from flanpy.store import etcdpb as pb
from flanpy.storeserver import checks
from flanpy.storeserver.database import Damaged, Database, LeaseRow, StoreState, is_full
from flanpy.storeserver.leases import Term, Terms, granted_ttl
from flanpy.storeserver.refusal import Refusal, RefusalReason
from flanpy.storeserver.selection import ranged
from flanpy.storeserver.watchers import Watcher, Watchers
from flanpy.storeserver.writer import Committed, Writer
from flanpy.storeserver.writing import header

log = get_logger()

TICK_S: Final = 0.5
"""Seconds between two looks at ended leases and the alarm: etcd's pace."""
RECORD_S: Final = 30.0
"""Seconds between two looks at the time that leases have left."""
COMPACT_S: Final = 300.0
"""Seconds between two deletions of old history."""
ROOM: Final = 4 << 20
"""Bytes that must be free until an alarm about space ends."""
QUOTA_SHARE: Final = 0.95


class Store:
    """One open file. Made on the event loop; `run` beside the servers; `close` at the end."""

    def __init__(self, path: Path, *, clock: Clock, quota: int, history_s: float) -> None:
        """Open and check the file; nothing is served before. Raises `Damaged`."""
        writing = Database(path, write=True)
        writing.check()
        writing.limit(quota)
        self.path = path
        self._clock = clock
        self._quota = quota
        self._history_s = history_s
        self._writing = writing
        self._reading = Database(path, write=False)
        self.state: StoreState = writing.state()
        self.watchers = Watchers(self._reading, self.state.revision, self.state.compacted)
        self._terms = Terms()
        self._terms.load(writing.leases(), clock.monotonic())
        self._writer = Writer(writing, self._committed)
        self._full = False
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._past: deque[tuple[float, int]] = deque()

    async def close(self) -> None:
        """Write the time that leases have left, end the thread, close the file."""
        with suppress(Refusal):
            await self._record(self._terms.all(self._clock.monotonic()))
        await self._writer.close()
        self._reading.close()
        self._writing.close()

    async def failed(self) -> None:
        """Wait for what makes it impossible to go on, and raise it."""
        done, _ = await asyncio.wait({self._writer.failed, self._broken}, return_when=asyncio.FIRST_COMPLETED)
        done.pop().result()

    # Reads

    def header(self) -> pb.ResponseHeader:
        """Return the header of an answer of now."""
        return header(self.state, self.state.revision)

    def range(self, request: pb.RangeRequest) -> pb.RangeResponse:
        """Read, at one moment. Raises `Refusal`."""
        checks.check_range(request)
        with self._undamaged(), self._reading.reading():
            state = self._reading.state()
            answer = ranged(self._reading, request, newest=state.revision, compacted=state.compacted)
        answer.header.CopyFrom(header(state, state.revision))
        return answer

    def _undamaged(self) -> _Undamaged:
        return _Undamaged(self._broken)

    def take(self, watcher: Watcher) -> list[pb.Event]:
        """Return what waits for a watcher, as `Watchers.take`."""
        with self._undamaged():
            return self.watchers.take(watcher)

    # Writes

    async def put(self, request: pb.PutRequest) -> pb.PutResponse:
        """Write a key. Raises `Refusal`."""
        checks.check_put(request)
        checks.check_size(request)
        self._need_room()
        return await self._writer.submit(lambda writing: writing.put_alone(request))

    async def delete(self, request: pb.DeleteRangeRequest) -> pb.DeleteRangeResponse:
        """Delete keys: also without room, as that makes some. Raises `Refusal`."""
        checks.check_delete(request)
        return await self._writer.submit(lambda writing: writing.delete(request))

    async def txn(self, request: pb.TxnRequest) -> pb.TxnResponse:
        """Run a transaction. Raises `Refusal`."""
        checks.check_txn(request)
        checks.check_size(request)
        if _writes(request):
            self._need_room()
        return await self._writer.submit(lambda writing: writing.txn(request))

    async def compact(self, revision: int) -> pb.CompactionResponse:
        """Forget history. Raises `Refusal`."""
        return await self._writer.submit(lambda writing: writing.compact(revision))

    def _committed(self, committed: Committed) -> None:
        self.state = committed.state
        if committed.full and not self._full:
            self._full = True
            log.error("store_full", path=str(self.path), action="writes are refused until there is room")
        self.watchers.publish(committed.changes, self.state.revision, self.state.compacted)

    # Leases

    async def grant(self, request: pb.LeaseGrantRequest) -> pb.LeaseGrantResponse:
        """Grant a lease. Raises `Refusal`."""
        ttl = granted_ttl(request.TTL)
        lease_id = request.ID or secrets.randbits(62) + 1
        self._need_room()
        row = LeaseRow(lease_id, ttl, float(ttl))
        await self._writer.submit(lambda writing: writing.grant(row))
        self._terms.start(lease_id, ttl, self._clock.monotonic())
        return pb.LeaseGrantResponse(header=self.header(), ID=lease_id, TTL=ttl)

    async def revoke(self, lease_id: int) -> pb.LeaseRevokeResponse:
        """End a lease. Raises `Refusal`."""
        await self._writer.submit(lambda writing: writing.revoke(lease_id))
        self._terms.drop(lease_id)
        return pb.LeaseRevokeResponse(header=self.header())

    async def keep_alive(self, lease_id: int) -> pb.LeaseKeepAliveResponse:
        """Restart a lease's time; one that ended has none (0)."""
        term = self._terms.get(lease_id)
        if term is None:
            return pb.LeaseKeepAliveResponse(header=self.header(), ID=lease_id, TTL=0)
        term.ends_at = self._clock.monotonic() + term.granted
        if term.recorded < term.granted:
            with suppress(Refusal):  # without room the time is kept in memory, as etcd keeps it
                await self._record([LeaseRow(lease_id, term.granted, float(term.granted))])
        return pb.LeaseKeepAliveResponse(header=self.header(), ID=lease_id, TTL=term.granted)

    def time_to_live(self, lease_id: int, *, keys: bool) -> pb.LeaseTimeToLiveResponse:
        """Return the time left of a lease; -1 if it ended."""
        term = self._terms.get(lease_id)
        if term is None:
            return pb.LeaseTimeToLiveResponse(header=self.header(), ID=lease_id, TTL=-1)
        bound = self.lease_keys(lease_id) if keys else ()
        return pb.LeaseTimeToLiveResponse(
            header=self.header(), ID=lease_id, TTL=self._left(term), grantedTTL=term.granted, keys=bound
        )

    def lease_keys(self, lease_id: int) -> list[bytes]:
        """Return the keys that are bound to a lease."""
        with self._undamaged():
            return self._reading.lease_keys(lease_id)

    def leases(self) -> pb.LeaseLeasesResponse:
        """Return the ids of all leases."""
        ids = sorted(lease_id for lease_id, term in self._terms.terms.items() if not term.ending)
        return pb.LeaseLeasesResponse(
            header=self.header(), leases=[pb.LeaseStatus(ID=lease_id) for lease_id in ids]
        )

    def _left(self, term: Term) -> int:
        return max(0, int(term.ends_at - self._clock.monotonic()))

    async def _record(self, rows: list[LeaseRow]) -> None:
        if rows:
            await self._writer.submit(lambda writing: writing.record(rows))
            self._terms.recorded(rows)

    async def _end(self, lease_id: int) -> bool:
        try:
            await self.revoke(lease_id)
        except Refusal as refusal:
            if refusal.reason is not RefusalReason.LEASE_NOT_FOUND:
                return False
            self._terms.drop(lease_id)
        return True

    # Space

    @property
    def full(self) -> bool:
        """Tell whether the alarm about space is on."""
        return self._full

    def alarm(self, *, on: bool) -> None:
        """Turn the alarm about space on or off; a disk that is still full turns it on again with the next write."""
        self._full = on

    def sizes(self) -> tuple[int, int]:
        """Return the size of the file in bytes, and how much of it is in use."""
        return self._reading.sizes()

    def _need_room(self) -> None:
        if self._full:
            raise Refusal(RefusalReason.NO_SPACE)

    def _has_room(self) -> bool:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize >= ROOM and self.sizes()[1] < self._quota * QUOTA_SHARE

    async def copy(self, target: Path) -> None:
        """Write a copy of now to a new file, with the time that leases have left. Raises `Refusal`."""
        with suppress(Refusal):
            await self._record(self._terms.all(self._clock.monotonic()))
        try:
            await asyncio.to_thread(_copy, self.path, target)
        except sqlite3.Error as error:
            raise Refusal(RefusalReason.NO_SPACE if is_full(error) else RefusalReason.CORRUPT) from error

    # What goes on by itself

    async def run(self) -> None:
        """End leases, lower their records, let old history go, end the alarm; without end."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._end_leases(), name="lease-ends")
            tasks.create_task(self._every(RECORD_S, self._lower), name="lease-records")
            tasks.create_task(self._every(COMPACT_S, self._forget), name="compaction")
            tasks.create_task(self._every(TICK_S, self._look_for_room), name="space")

    async def _every(self, seconds: float, call: Callable[[], object]) -> None:
        while True:
            await self._clock.sleep(seconds)
            with suppress(Refusal):
                found = call()
                if asyncio.iscoroutine(found):
                    await found

    async def _end_leases(self) -> None:
        late: Iterable[int] = ()
        while True:
            ended = [*late, *self._terms.take_ended(self._clock.monotonic())]
            late = [lease_id for lease_id in ended if not await self._end(lease_id)]
            await self._clock.sleep(TICK_S)

    async def _lower(self) -> None:
        await self._record(self._terms.lowered(self._clock.monotonic()))

    def _look_for_room(self) -> None:
        if self._full and self._has_room():
            self._full = False
            log.info("store_has_room", path=str(self.path))

    async def _forget(self) -> None:
        now = self._clock.monotonic()
        self._past.append((now, self.state.revision))
        old = 0
        while self._past and self._past[0][0] <= now - self._history_s:
            old = self._past.popleft()[1]
        if old > self.state.compacted:
            await self.compact(old)


class _Undamaged:
    """Turns damage that a read finds into a refusal, and tells the store to stop."""

    def __init__(self, broken: asyncio.Future[None]) -> None:
        self._broken = broken

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Damaged | sqlite3.Error):
            if not self._broken.done():
                self._broken.set_exception(error)
            raise Refusal(RefusalReason.CORRUPT) from error


def _writes(request: pb.TxnRequest) -> bool:
    return any(
        operation.HasField("request_put")
        or (operation.HasField("request_txn") and _writes(operation.request_txn))
        for operation in (*request.success, *request.failure)
    )


def _copy(path: Path, target: Path) -> None:
    database = Database(path, write=False)
    try:
        database.copy(target)
    finally:
        database.close()
