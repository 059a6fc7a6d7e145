"""The news of a watch around an outage: the same cases on the fake, and on a real etcd and the embedded store, killed
and started again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest

from flanpy.errors import StoreUnavailable
from flanpy.store.port import Delta, News, Progress, Snapshot, Stale, Store, Watch
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.watch import WatchPace
from tests.etcd_server import EmbeddedStore, EtcdCluster
from tests.fakes.etcd import FakeEtcd, FakeSession

DEADLINE_S = 60.0
Cluster = EtcdCluster | EmbeddedStore


class Rig(Protocol):
    """A store, another client of the same cluster, and the faults that both kinds have."""

    store: Store
    other: Store

    def cut(self) -> None: ...
    def mend(self) -> None: ...
    def compact(self) -> None: ...
    def wipe(self) -> None: ...


class FakeRig:
    """Another session goes on while ours is cut off."""

    def __init__(self) -> None:
        self._etcd = FakeEtcd()
        self._session = FakeSession(self._etcd)
        self.store: Store = self._session
        self.other: Store = FakeSession(self._etcd)

    def cut(self) -> None:
        self._session.cut()

    def mend(self) -> None:
        self._session.mend()

    def compact(self) -> None:
        self._etcd.compact()

    def wipe(self) -> None:
        self._etcd.wipe()
        self._session.mend()


@dataclass
class EtcdRig:
    """The whole etcd goes away, and the watch is not read until the others have written."""

    store: Store
    other: Store
    etcd: Cluster

    def cut(self) -> None:
        self.etcd.kill()

    def mend(self) -> None:
        self.etcd.start()

    def compact(self) -> None:
        self.etcd.compact()

    def wipe(self) -> None:
        self.etcd.wipe()


@pytest.fixture(params=["fake", pytest.param("etcd", marks=pytest.mark.etcd), "embedded"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster | None]:
    if request.param == "fake":
        yield None
        return
    kind = EtcdCluster if request.param == "etcd" else EmbeddedStore
    with kind.started() as etcd:
        yield etcd


@asynccontextmanager
async def opened(cluster: Cluster | None) -> AsyncIterator[Rig]:
    if cluster is None:
        yield FakeRig()
        return
    pace = WatchPace(first_delay=0.02, longest_delay=0.1)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(EtcdSession(cluster.settings(), pace=pace))
        other = await stack.enter_async_context(EtcdSession(cluster.settings(), pace=pace))
        yield EtcdRig(store, other, cluster)


async def news(watch: Watch) -> News:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(watch)


async def followed(rig: Rig) -> Watch:
    """A watch of /w/ that has listed and followed; /w/a and /w/b are there."""
    await rig.other.put("/w/a", b"1")
    watch = rig.store.watch("/w/")
    assert isinstance(await news(watch), Snapshot)
    await rig.other.put("/w/b", b"1")
    assert isinstance(await news(watch), Delta)
    return watch


async def write(store: Store, key: str, value: bytes) -> None:
    """Put a key, though the channel may still be waiting to dial again."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await store.put(key, value)
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.asyncio
async def test_calls_fail_and_the_watch_is_stale_once_while_etcd_is_away(cluster: EtcdCluster | None) -> None:
    async with opened(cluster) as rig:
        watch = await followed(rig)
        rig.cut()
        assert isinstance(await news(watch), Stale)
        with pytest.raises(StoreUnavailable):
            await rig.store.get("/w/a")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(watch)
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_says_progress_and_then_what_it_missed_when_etcd_is_back(
    cluster: EtcdCluster | None,
) -> None:
    async with opened(cluster) as rig:
        watch = await followed(rig)
        rig.cut()
        assert isinstance(await news(watch), Stale)
        rig.mend()
        await write(rig.other, "/w/c", b"1")
        await rig.other.delete("/w/a")
        assert isinstance(await news(watch), Progress)
        put: set[str] = set()
        gone: set[str] = set()
        while not gone:
            got = await news(watch)
            assert isinstance(got, Delta)
            put |= {kv.key for kv in got.puts}
            gone |= {deletion.key for deletion in got.deletes}
        assert (put, gone) == ({"/w/c"}, {"/w/a"})
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_lists_again_when_what_it_missed_was_compacted(cluster: EtcdCluster | None) -> None:
    async with opened(cluster) as rig:
        watch = await followed(rig)
        rig.cut()
        assert isinstance(await news(watch), Stale)
        rig.mend()
        await write(rig.other, "/w/c", b"1")
        await rig.other.delete("/w/a")
        rig.compact()
        got = await news(watch)
        assert isinstance(got, Snapshot)
        assert got.reason == "compacted"
        assert [kv.key for kv in got.items] == ["/w/b", "/w/c"]
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_lists_again_when_etcd_lost_its_data(cluster: EtcdCluster | None) -> None:
    async with opened(cluster) as rig:
        watch = await followed(rig)
        rig.cut()
        assert isinstance(await news(watch), Stale)
        rig.wipe()
        for number in range(10):
            await write(rig.other, f"/w/{number}", b"1")
        got = await news(watch)
        assert isinstance(got, Snapshot)
        assert got.reason == "history_replaced"
        assert len(got.items) == 10
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_lists_first_when_asked_to_during_an_outage(cluster: EtcdCluster | None) -> None:
    async with opened(cluster) as rig:
        watch = await followed(rig)
        rig.cut()
        assert isinstance(await news(watch), Stale)
        watch.relist("periodic")
        rig.mend()
        got = await news(watch)
        assert isinstance(got, Snapshot)
        assert got.reason == "periodic"
        await watch.aclose()
