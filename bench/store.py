"""Part `store`: the embedded store against a real etcd, in the same run, each with every write flushed to the disk.

What flanpy asks of either: puts by a client that waits for each, many at once, news of a watch, and leases kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import grpc.aio

from bench import proc
from bench.figures import Figure, figure, paired_ratios, percentile
from bench.run import Run, alternated
from flanpy.store import etcdpb as pb
from integration.etcd.embedded import LoopbackStore
from integration.etcd.loopback import LoopbackEtcd

T = TypeVar("T")

VALUE = (
    b'{"PublicIP":"192.0.2.7","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"5e:a9:11:3f:00:c2"}}'
)
FLUSH = "--unsafe-no-fsync=false"
"""The lab's etcds do without, for speed."""
AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Side:
    """One server, as its clients and the kernel see it."""

    url: str
    pid: int

    def run(self, work: Callable[[_Stubs], Awaitable[T]]) -> T:
        """Connect, work, hang up."""

        async def connected() -> T:
            target = self.url.partition("//")[2]
            async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
                return await work(_Stubs(channel))

        return asyncio.run(connected())


class _Stubs:
    """The stub classes are generated, without types."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        make: Any = pb
        self.kv = make.KVStub(channel)
        self.lease = make.LeaseStub(channel)
        self.watch = make.WatchStub(channel)


def measure(run: Run) -> Iterable[Figure]:
    with _both() as (store, etcd):
        yield from _puts(run, store, etcd)
        yield from _at_once(run, store, etcd)
        yield from _watch(run, store, etcd)
        yield from _memory(run, store, etcd)


@contextmanager
def _both() -> Iterator[tuple[Side, Side]]:
    with LoopbackStore.started() as store, LoopbackEtcd.started(FLUSH) as etcd:
        yield Side(store.urls[0], store.members[0].pid), Side(etcd.urls[0], etcd.members[0].pid)


def _puts(run: Run, store: Side, etcd: Side) -> Iterable[Figure]:
    count = run.pick(500, 100)
    ours, theirs = alternated(
        run.turns(f"store: {count} puts, one after the other, to each", run.pick(5, 2)),
        lambda: store.run(lambda stubs: _timed_puts(stubs, count)),
        lambda: etcd.run(lambda stubs: _timed_puts(stubs, count)),
    )
    for percent in (50, 99):
        own, other = ([percentile(one, percent) for one in side] for side in (ours, theirs))
        yield figure(f"store.put.p{percent}", f"a put, flushed, embedded store: p{percent}", "ms", own)
        yield figure(f"store.put.p{percent}.etcd", "  etcd 3.5", "ms", other)
        yield figure(
            f"store.put.p{percent}.ratio", "  embedded store / etcd", "x", paired_ratios(own, other), at_most=1.0
        )  # fmt: skip


async def _timed_puts(stubs: _Stubs, count: int) -> list[float]:
    taken = []
    for number in range(count):
        started = time.perf_counter()
        await stubs.kv.Put(pb.PutRequest(key=b"put/%d" % number, value=VALUE))
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def _at_once(run: Run, store: Side, etcd: Side) -> Iterable[Figure]:
    ours, theirs = alternated(
        run.turns("store: 1,000 puts at once, to each", run.pick(7, 2)),
        lambda: store.run(_many_puts),
        lambda: etcd.run(_many_puts),
    )
    yield figure("store.burst", "1,000 puts at once, embedded store", "ms", ours)
    yield figure("store.burst.etcd", "  etcd 3.5", "ms", theirs)
    yield figure(
        "store.burst.ratio", "  embedded store / etcd", "x", paired_ratios(ours, theirs), at_most=1.0,
        note="By one client in Python, whose own time is in both.",
    )  # fmt: skip


async def _many_puts(stubs: _Stubs) -> float:
    await stubs.kv.Put(pb.PutRequest(key=b"burst"))  # connected
    started = time.perf_counter()
    puts = (stubs.kv.Put(pb.PutRequest(key=b"burst/%d" % number, value=VALUE)) for number in range(AT_ONCE))
    await asyncio.gather(*puts)
    return (time.perf_counter() - started) * 1e3


def _watch(run: Run, store: Side, etcd: Side) -> Iterable[Figure]:
    count = run.pick(300, 50)
    ours, theirs = alternated(
        run.turns(f"store: {count} puts to a watch, of each", run.pick(5, 2)),
        lambda: store.run(lambda stubs: _heard(stubs, count)),
        lambda: etcd.run(lambda stubs: _heard(stubs, count)),
    )
    yield figure("store.watch", "a put to a watch's event, embedded store: p50", "ms", ours)
    yield figure("store.watch.etcd", "  etcd 3.5", "ms", theirs)
    yield figure(
        "store.watch.ratio", "  embedded store / etcd", "x", paired_ratios(ours, theirs), at_most=1.0
    )


async def _heard(stubs: _Stubs, count: int) -> float:
    call = stubs.watch.Watch()
    await call.write(pb.WatchRequest(create_request=pb.WatchCreateRequest(key=b"watched")))
    await call.read()
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        putting = asyncio.ensure_future(stubs.kv.Put(pb.PutRequest(key=b"watched", value=VALUE)))
        await call.read()
        taken.append((time.perf_counter() - started) * 1e3)
        await putting
    call.cancel()
    return percentile(taken, 50)


def _memory(run: Run, store: Side, etcd: Side) -> Iterable[Figure]:
    there = 0
    for count in (1_000, 10_000):
        run.say(f"store: {count:,} leases with a key each, in each")
        for side in (store, etcd):
            side.run(lambda stubs, have=there, want=count: _lease_keys(stubs, have, want))  # type: ignore[misc]
        there = count
        ours, theirs = (proc.memory(side.pid)["Alone"] for side in (store, etcd))
        yield figure(f"store.memory.{count}", f"memory with {count:,} leases, embedded store", "MiB", ours)
        yield figure(f"store.memory.{count}.etcd", "  etcd 3.5", "MiB", theirs)
        yield figure(
            f"store.memory.{count}.ratio", "  embedded store / etcd", "x", ours / theirs, at_most=0.5
        )


async def _lease_keys(stubs: _Stubs, have: int, want: int) -> None:
    for start in range(have, want, 100):
        grants = [stubs.lease.LeaseGrant(pb.LeaseGrantRequest(TTL=86_400)) for _ in range(100)]
        leases = await asyncio.gather(*grants)
        puts = [
            stubs.kv.Put(pb.PutRequest(key=b"lease/%d" % (start + number), value=VALUE, lease=lease.ID))
            for number, lease in enumerate(leases)
        ]
        await asyncio.gather(*puts)
