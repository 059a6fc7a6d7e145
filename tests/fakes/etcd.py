"""An etcd in memory behind `flanpy.store.port.Store`, with faults to order.

`FakeEtcd` is the cluster, `FakeSession` one client of it; several sessions on one cluster see each other's writes.
`tests/contract/test_store.py` holds it to what a real etcd does. Leases run on the injected clock: a lease ends when a
call, or a waiting watch, notices that its time is up.

A watch here hands out all it has at once; a real one may split the same changes over several deltas.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar, assert_never

from flanpy.clock import Clock, SystemClock
from flanpy.errors import LeaseGone, StoreCompacted, StoreError, StoreUnavailable
from flanpy.store.port import (
    Compare,
    CompareTarget,
    DeleteKey,
    Deletion,
    Delta,
    Get,
    KeyValue,
    LeaseState,
    News,
    Operation,
    Progress,
    PutKey,
    Relation,
    ServerStatus,
    Snapshot,
    Stale,
    Txn,
    TxnResult,
)

Reply = TypeVar("Reply")

MIN_TTL = 2  # an etcd with its default election timeout grants no less
UNREACHABLE = "etcd at fake is unavailable (a test says so): see that it runs"


@dataclass(slots=True)
class _Lease:
    granted: int
    ends_at: float
    keys: set[str] = field(default_factory=set)


class FakeEtcd:
    """The cluster: keys, history, leases."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self._lease_ids = count(0x1000)
        self._waiting: set[asyncio.Future[None]] = set()
        self.generation = 0
        self._reset()

    def _reset(self) -> None:
        self.revision = 1
        self.compacted = 0
        self.keys: dict[str, KeyValue] = {}
        self.history: list[KeyValue | Deletion] = []
        self.leases: dict[int, _Lease] = {}

    def wipe(self) -> None:
        """Lose all data and start again from revision 1, as an etcd whose disk was replaced."""
        self.generation += 1
        self._reset()
        self.wake()

    def compact(self, revision: int = 0) -> None:
        """Forget the history up to `revision` (0: now)."""
        self.compacted = revision or self.revision
        self.history = [event for event in self.history if event.mod_revision > self.compacted]

    def expire_lease(self, lease_id: int) -> None:
        """End a lease now, with its keys, whatever its time."""
        lease = self.leases.pop(lease_id, None)
        if lease is not None:
            self._apply(tuple(DeleteKey(key) for key in sorted(lease.keys)))

    def expire_leases(self) -> None:
        """End the leases whose time is up."""
        now = self.clock.monotonic()
        for lease_id in [id_ for id_, lease in self.leases.items() if lease.ends_at <= now]:
            self.expire_lease(lease_id)

    def find(self, prefix: str) -> tuple[KeyValue, ...]:
        """All keys that begin with `prefix`, in order."""
        return tuple(self.keys[key] for key in sorted(self.keys) if key.startswith(prefix))

    def since(self, revision: int, prefix: str) -> Delta | None:
        """The net of what changed under `prefix` after `revision`; None if nothing did."""
        if revision < self.compacted:
            raise StoreCompacted("the fake etcd compacted that revision: list again")
        last = {
            event.key: event
            for event in self.history
            if event.mod_revision > revision and event.key.startswith(prefix)
        }
        if not last:
            return None
        puts = tuple(event for event in last.values() if isinstance(event, KeyValue))
        deletes = tuple(event for event in last.values() if isinstance(event, Deletion))
        return Delta(puts, deletes, max(event.mod_revision for event in last.values()))

    def run(self, txn: Txn) -> TxnResult:
        """A transaction, all or nothing."""
        self.expire_leases()
        succeeded = all(map(self._holds, txn.compare))
        branch = txn.success if succeeded else txn.failure
        self._check(txn.success)
        self._check(txn.failure)
        self._check_leases(branch)
        reads = self._apply(branch)
        return TxnResult(succeeded, self.revision, reads)

    def grant(self, ttl: int) -> int:
        lease_id = next(self._lease_ids)
        granted = max(ttl, MIN_TTL)
        self.leases[lease_id] = _Lease(granted, self.clock.monotonic() + granted)
        self.wake()
        return lease_id

    def lease(self, lease_id: int) -> _Lease:
        """A lease that has not ended; `LeaseGone` otherwise."""
        self.expire_leases()
        try:
            return self.leases[lease_id]
        except KeyError:
            raise LeaseGone(f"lease {lease_id:x} ended in the fake etcd: take a new one") from None

    async def changed(self) -> None:
        """Wait until something was written, or a lease's time is up."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        timer = asyncio.create_task(self._next_end())
        try:
            await asyncio.wait({future, timer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting.discard(future)
            timer.cancel()
            with suppress(asyncio.CancelledError):
                await timer
        self.expire_leases()

    def wake(self) -> None:
        """Let the watches look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def _next_end(self) -> None:
        ends = min((lease.ends_at for lease in self.leases.values()), default=math.inf)
        if ends == math.inf:
            await asyncio.get_running_loop().create_future()
        await self.clock.sleep(ends - self.clock.monotonic())

    def _check(self, operations: Iterable[Operation]) -> None:
        written = [operation.key for operation in operations if isinstance(operation, PutKey)]
        if len(set(written)) < len(written):
            raise StoreError(
                "the fake etcd refused txn: duplicate key given in txn request (INVALID_ARGUMENT)"
            )

    def _check_leases(self, operations: Iterable[Operation]) -> None:
        for operation in operations:
            if isinstance(operation, PutKey) and operation.lease_id:
                self.lease(operation.lease_id)

    def _apply(self, operations: tuple[Operation, ...]) -> tuple[KeyValue, ...]:
        revision = self.revision + 1
        reads: list[KeyValue] = []
        for operation in operations:
            match operation:
                case PutKey():
                    self._put(operation, revision)
                case DeleteKey(key, prefix):
                    for kv in self._select(key, prefix=prefix):
                        self._delete(kv, revision)
                case Get(key, prefix):
                    reads.extend(self._select(key, prefix=prefix))
                case _:
                    assert_never(operation)
        if self.history and self.history[-1].mod_revision == revision:
            self.revision = revision
            self.wake()
        return tuple(reads)

    def _select(self, key: str, *, prefix: bool) -> tuple[KeyValue, ...]:
        if prefix:
            return self.find(key)
        return (self.keys[key],) if key in self.keys else ()

    def _put(self, put: PutKey, revision: int) -> None:
        old = self.keys.get(put.key)
        self._detach(old)
        if old is None:
            new = KeyValue(put.key, put.value, revision, revision, 1, put.lease_id)
        else:
            new = replace(
                old, value=put.value, mod_revision=revision, version=old.version + 1, lease_id=put.lease_id
            )
        self.keys[put.key] = new
        if put.lease_id:
            self.leases[put.lease_id].keys.add(put.key)
        self.history.append(new)

    def _delete(self, old: KeyValue, revision: int) -> None:
        self._detach(old)
        del self.keys[old.key]
        self.history.append(Deletion(old.key, revision))

    def _detach(self, old: KeyValue | None) -> None:
        if old is not None and old.lease_id in self.leases:
            self.leases[old.lease_id].keys.discard(old.key)

    def _holds(self, compare: Compare) -> bool:
        if compare.prefix:
            # As etcd does: over no key at all it judges one absent key.
            keys = [kv.key for kv in self.find(compare.key)] or [compare.key]
            return all(self._holds(replace(compare, key=key, prefix=False)) for key in keys)
        kv = self.keys.get(compare.key)
        if kv is None and compare.target is CompareTarget.VALUE:
            return False
        return _related(compare.relation, _field(kv, compare.target), compare.operand)


def _field(kv: KeyValue | None, target: CompareTarget) -> int | bytes:
    if kv is None:
        return 0
    match target:
        case CompareTarget.CREATE_REVISION:
            return kv.create_revision
        case CompareTarget.MOD_REVISION:
            return kv.mod_revision
        case CompareTarget.VERSION:
            return kv.version
        case CompareTarget.VALUE:
            return kv.value
        case CompareTarget.LEASE:
            return kv.lease_id
        case _:
            assert_never(target)


def _related(relation: Relation, left: int | bytes, right: int | bytes) -> bool:
    match relation:
        case Relation.EQUAL:
            return left == right
        case Relation.NOT_EQUAL:
            return left != right
        case Relation.GREATER:
            return left > right  # type: ignore[operator]
        case Relation.LESS:
            return left < right  # type: ignore[operator]
        case _:
            assert_never(relation)


@dataclass(slots=True, eq=False)
class Hold:
    """A call stopped before it takes effect: wait for `reached`, do what you like, then `release`."""

    operation: str
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    _go: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let the call go on."""
        self._go.set()

    async def stop(self) -> None:
        """Stop the held call here until it is released."""
        self.reached.set()
        await self._go.wait()


class FakeSession:
    """One client: a `port.Store`. Faults are its own; other sessions on the same cluster do not feel them.

    Operations are named after the methods: get, list, txn, put, delete, grant, revoke, keep_alive, time_to_live,
    status.
    """

    def __init__(self, etcd: FakeEtcd | None = None) -> None:
        self.etcd = etcd or FakeEtcd()
        self.calls: Counter[str] = Counter()
        self._unreachable = False
        self._refusals: list[tuple[str, StoreError]] = []
        self._lost: list[str] = []
        self._holds: list[Hold] = []

    # Faults

    def cut(self) -> None:
        """Be partitioned from the cluster: calls fail, watches go stale."""
        self._unreachable = True
        self.etcd.wake()

    def mend(self) -> None:
        """End the partition."""
        self._unreachable = False
        self.etcd.wake()

    def refuse(self, operation: str, error: StoreError | None = None, *, times: int = 1) -> None:
        """Let the next calls of `operation` fail without taking effect."""
        self._refusals += [(operation, error or StoreUnavailable(UNREACHABLE))] * times

    def lose_answer(self, operation: str, *, times: int = 1) -> None:
        """Let the next calls of `operation` take effect and fail all the same."""
        self._lost += [operation] * times

    def hold(self, operation: str) -> Hold:
        """Stop the next call of `operation` before it takes effect."""
        hold = Hold(operation)
        self._holds.append(hold)
        return hold

    # The port

    async def get(self, key: str) -> KeyValue | None:
        return await self._call("get", lambda: self.etcd.keys.get(key))

    async def list(self, prefix: str) -> Snapshot:
        return await self._call("list", lambda: Snapshot(self.etcd.find(prefix), self.etcd.revision))

    async def txn(self, txn: Txn) -> TxnResult:
        return await self._call("txn", lambda: self.etcd.run(txn))

    async def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        txn = Txn(success=(PutKey(key, value, lease_id),))
        return await self._call("put", lambda: self.etcd.run(txn).revision)

    async def delete(self, key: str) -> bool:
        txn = Txn(success=(Get(key), DeleteKey(key)))
        return await self._call("delete", lambda: bool(self.etcd.run(txn).reads))

    async def grant(self, ttl: int) -> int:
        return await self._call("grant", lambda: self.etcd.grant(ttl))

    async def revoke(self, lease_id: int) -> None:
        await self._call("revoke", lambda: self.etcd.expire_lease(lease_id))

    async def keep_alive(self, lease_id: int) -> int:
        def beat() -> int:
            lease = self.etcd.lease(lease_id)
            lease.ends_at = self.etcd.clock.monotonic() + lease.granted
            return lease.granted

        return await self._call("keep_alive", beat)

    async def time_to_live(self, lease_id: int) -> LeaseState:
        def state() -> LeaseState:
            lease = self.etcd.lease(lease_id)
            left = int(lease.ends_at - self.etcd.clock.monotonic())
            return LeaseState(lease.granted, left, tuple(sorted(lease.keys)))

        return await self._call("time_to_live", state)

    async def status(self) -> ServerStatus:
        return await self._call(
            "status", lambda: ServerStatus("http://fake:2379", "fake", 0, 1, 1, self.etcd.revision, ())
        )

    def watch(self, prefix: str) -> FakeWatch:
        return FakeWatch(self, prefix)

    @property
    def reachable(self) -> bool:
        """Report whether the session can talk to the cluster."""
        return not self._unreachable

    async def _call(self, operation: str, effect: Callable[[], Reply]) -> Reply:
        self.calls[operation] += 1
        await asyncio.sleep(0)  # as every real call, one that gives others a turn
        for hold in [hold for hold in self._holds if hold.operation == operation][:1]:
            self._holds.remove(hold)
            await hold.stop()
        if self._unreachable:
            raise StoreUnavailable(UNREACHABLE)
        for refusal in [refusal for refusal in self._refusals if refusal[0] == operation][:1]:
            self._refusals.remove(refusal)
            raise refusal[1]
        self.etcd.expire_leases()
        reply = effect()
        if operation in self._lost:
            self._lost.remove(operation)
            raise StoreUnavailable(f"etcd at fake gave no answer to {operation} in time: see if it hangs")
        return reply


class FakeWatch:
    """A `port.Watch` on the fake."""

    def __init__(self, session: FakeSession, prefix: str) -> None:
        self._session = session
        self._etcd = session.etcd
        self._prefix = prefix
        self._reason: str | None = "started"
        self._position = 0
        self._generation = session.etcd.generation
        self._stale = False
        self._closed = False

    def __aiter__(self) -> AsyncIterator[News]:
        return self

    async def __anext__(self) -> News:
        await asyncio.sleep(0)
        while not self._closed:
            self._etcd.expire_leases()
            news = self._news() if self._session.reachable else self._lost()
            if news is not None:
                return news
            await self._etcd.changed()
        raise StopAsyncIteration

    def relist(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._etcd.wake()

    async def aclose(self) -> None:
        self._closed = True
        self._etcd.wake()

    def _lost(self) -> Stale | None:
        if self._stale:
            return None
        self._stale = True
        return Stale(UNREACHABLE)

    def _news(self) -> News | None:
        if self._generation != self._etcd.generation:
            self._reason = self._reason or "history_replaced"
        if self._reason is None and self._position < self._etcd.compacted and self._stale:
            self._reason = "compacted"
        if self._reason is not None:
            return self._snapshot()
        if self._stale:
            self._stale = False
            return Progress(self._position)
        delta = self._etcd.since(max(self._position, self._etcd.compacted), self._prefix)
        if delta is not None:
            self._position = delta.revision
        return delta

    def _snapshot(self) -> Snapshot:
        reason, self._reason = self._reason, None
        self._stale = False
        self._generation = self._etcd.generation
        self._position = self._etcd.revision
        return Snapshot(self._etcd.find(self._prefix), self._position, reason or "")
