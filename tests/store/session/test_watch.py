"""The watch on a real etcd that is killed, frozen, compacted, wiped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from flanpy.errors import StoreUnavailable
from flanpy.store.port import Delta, KeyValue, News, Progress, PutKey, Snapshot, Stale, Txn
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.watch import PrefixWatch, WatchPace
from tests.etcd_server import EtcdCluster

pytestmark = pytest.mark.etcd

DEADLINE_S = 60.0
QUICK = WatchPace(silence=1.0, answer=1.0, first_delay=0.02, longest_delay=0.1)


@asynccontextmanager
async def opened(etcd: EtcdCluster, *, timeout: float = 1.0) -> AsyncIterator[EtcdSession]:  # noqa: ASYNC109
    async with EtcdSession(etcd.settings(timeout=timeout), pace=QUICK) as session:
        yield session


async def write(etcd: EtcdCluster, **values: str) -> int:
    """Put keys under /w/ over a session of its own; the last revision."""
    async with EtcdSession(etcd.settings()) as session:
        return max([await session.put(f"/w/{key}", value.encode()) for key, value in values.items()])


async def delete(etcd: EtcdCluster, key: str) -> None:
    async with EtcdSession(etcd.settings()) as session:
        assert await session.delete(f"/w/{key}")


async def news(watch: PrefixWatch) -> News:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(watch)


async def until(watch: PrefixWatch, *kinds: type[News]) -> News:
    """The next news of one of these kinds."""
    while not isinstance(got := await news(watch), kinds):
        pass
    return got


async def follow(etcd: EtcdCluster, watch: PrefixWatch) -> Mirror:
    """A mirror of `watch`, listed and then seen to follow: its stream is open."""
    mirror = Mirror()
    mirror.take(await news(watch))
    await mirror.follow(watch, await write(etcd, live=""))
    return mirror


class Mirror:
    """The content that a view would hold, by the rules of `port`."""

    def __init__(self) -> None:
        self.keys: dict[str, KeyValue] = {}
        self.revision = 0
        self.stale = True

    def take(self, got: News) -> None:
        match got:
            case Snapshot(items, revision):
                self.keys = {kv.key: kv for kv in items}
                self.revision = revision
            case Delta(puts, deletes, revision):
                assert revision > self.revision, "events came twice or out of order"
                self.keys.update({kv.key: kv for kv in puts})
                for gone in deletes:
                    self.keys.pop(gone.key, None)  # news is net: it may have come and gone since the last
                self.revision = revision
            case _:
                pass
        self.stale = isinstance(got, Stale)

    async def follow(self, watch: PrefixWatch, revision: int) -> None:
        while self.stale or self.revision < revision:
            self.take(await news(watch))


@pytest.mark.asyncio
async def test_p23_p24_watch_resumes_without_losing_events_when_etcd_is_killed_and_restarted(
    etcd_server: EtcdCluster,
) -> None:
    await write(etcd_server, a="1", b="1")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        mirror = await follow(etcd_server, watch)
        etcd_server.kill()
        lost = await news(watch)
        assert isinstance(lost, Stale)
        assert etcd_server.urls[0] in lost.error
        mirror.take(lost)
        assert len(mirror.keys) == 3, "absence of news is not deletion"
        etcd_server.start()
        await write(etcd_server, a="2", c="1")
        await delete(etcd_server, "b")
        await delete(etcd_server, "live")
        last = await write(etcd_server, d="1")
        await mirror.follow(watch, last)
        assert {key: kv.value for key, kv in mirror.keys.items()} == {
            "/w/a": b"2",
            "/w/c": b"1",
            "/w/d": b"1",
        }
        assert session.stats.resyncs == {"started": 1}, "it resumed, and did not list again"


@pytest.mark.asyncio
async def test_p24_watch_says_stale_once_and_then_that_it_lives_when_etcd_was_away(
    etcd_server: EtcdCluster,
) -> None:
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        revision = (await follow(etcd_server, watch)).revision
        etcd_server.kill()
        got = asyncio.create_task(collect(watch, 2))
        await failures(session, 5)
        etcd_server.start()
        stale, alive = await got
        assert isinstance(stale, Stale)
        assert alive == Progress(revision)


async def collect(watch: PrefixWatch, number: int) -> list[News]:
    return [await news(watch) for _ in range(number)]


async def failures(session: EtcdSession, number: int) -> None:
    """Wait until `number` attempts have failed."""
    for _ in range(int(DEADLINE_S / 0.02)):
        if sum(count for (_, code), count in session.stats.calls.items() if code != "OK") >= number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"fewer than {number} attempts in {DEADLINE_S} s")


@pytest.mark.asyncio
async def test_p24_outage_is_logged_once_at_each_end_however_often_it_is_retried(
    etcd_server: EtcdCluster,
) -> None:
    await write(etcd_server, a="1")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        await follow(etcd_server, watch)
        with capture_logs() as lines:
            etcd_server.kill()
            got = asyncio.create_task(collect(watch, 2))
            await failures(session, 30)
            assert session.stats.connected_since is None
            etcd_server.start()
            await got
        assert [line["event"] for line in lines] == ["datastore_lost", "datastore_recovered"]
        assert lines[0]["endpoint"] == etcd_server.urls[0]
        assert lines[1]["count"] >= 20
        assert session.stats.outage_since is None


@pytest.mark.asyncio
async def test_empty_prefix_that_is_empty_again_after_an_outage_is_not_told(etcd_server: EtcdCluster) -> None:
    async with opened(etcd_server) as session:
        watch = session.watch("/empty/")
        assert isinstance(await news(watch), Snapshot)
        with capture_logs() as lines:
            etcd_server.kill()
            assert isinstance(await news(watch), Stale)
            etcd_server.start()
            again = await until(watch, Snapshot)
        assert isinstance(again, Snapshot)
        assert again == Snapshot((), again.revision, "nothing_to_resume_from")
        assert "watch_relisted" not in [line["event"] for line in lines]


def test_p24_watch_tries_a_few_hundred_times_when_etcd_is_away_for_ten_minutes() -> None:
    pace = WatchPace()
    for jitter in (0.0, 1.0):
        passed, tries = 0.0, 0
        while passed < 600:
            tries += 1
            passed += pace.delay(tries, jitter)
        assert tries < 450
    assert pace.delay(1, 0.0) == 0.1, "the first retry comes at once"
    assert pace.delay(10_000, 0.0) == pace.longest_delay


@pytest.mark.asyncio
async def test_p24_watch_notices_a_frozen_etcd_and_catches_up_when_it_thaws(
    etcd_server: EtcdCluster,
) -> None:
    await write(etcd_server, a="1")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        mirror = await follow(etcd_server, watch)
        etcd_server.members[0].freeze()
        lost = await news(watch)
        assert isinstance(lost, Stale)
        assert "has not answered its watch for 2 s" in lost.error
        etcd_server.members[0].thaw()
        last = await write(etcd_server, a="2")
        await mirror.follow(watch, last)
        assert mirror.keys["/w/a"].value == b"2"
        assert session.stats.resyncs == {"started": 1}


@pytest.mark.asyncio
async def test_watch_stays_fresh_when_nothing_is_written_for_longer_than_its_probe(
    etcd_server: EtcdCluster,
) -> None:
    async with EtcdSession(etcd_server.settings(), pace=WatchPace(silence=0.1, answer=1.0)) as session:
        watch = session.watch("/w/")
        await news(watch)
        reader = asyncio.create_task(news(watch))
        await asyncio.sleep(1.0)  # ten probes
        assert not reader.done()
        await write(etcd_server, a="1")
        assert isinstance(await reader, Delta)
        assert session.stats.calls["watch", "OK"] == 1, "one stream, never given up"


@pytest.mark.asyncio
async def test_p15_p23_watch_lists_again_and_shows_deletions_when_its_position_was_compacted(
    etcd_server: EtcdCluster,
) -> None:
    await write(etcd_server, a="1", b="1")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        await follow(etcd_server, watch)
        etcd_server.kill()
        assert isinstance(await news(watch), Stale)
        etcd_server.start()
        await delete(etcd_server, "b")
        await write(etcd_server, a="2")
        etcd_server.compact()
        got = await news(watch)
        assert isinstance(got, Snapshot)
        assert got.reason == "compacted"
        assert [(kv.key, kv.value) for kv in got.items] == [("/w/a", b"2"), ("/w/live", b"")]
        await write(etcd_server, c="1")
        assert isinstance(await news(watch), Delta)


@pytest.mark.asyncio
async def test_p23_watch_goes_on_when_etcd_is_compacted_under_it(etcd_server: EtcdCluster) -> None:
    await write(etcd_server, a="1")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        await news(watch)
        await write(etcd_server, a="2")
        assert isinstance(await news(watch), Delta)
        etcd_server.compact()
        last = await write(etcd_server, a="3")
        got = await news(watch)
        assert isinstance(got, Delta)
        assert got.revision == last


@pytest.mark.asyncio
@pytest.mark.parametrize("writes", [0, 30], ids=["revision_went_back", "revision_went_past"])
async def test_p25_watch_lists_again_when_etcd_was_wiped(etcd_server: EtcdCluster, writes: int) -> None:
    await write(etcd_server, a="1", b="1", c="1")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        await follow(etcd_server, watch)
        etcd_server.kill()
        assert isinstance(await news(watch), Stale)
        etcd_server.wipe()
        for number in range(writes):
            await write(etcd_server, a=str(number))
        got = await news(watch)
        assert isinstance(got, Snapshot)
        assert got.reason == "history_replaced"
        assert [kv.key for kv in got.items] == (["/w/a"] if writes else [])
        await write(etcd_server, z="1")
        assert isinstance(await news(watch), Delta)


@pytest.mark.asyncio
async def test_p25_watch_lists_again_when_an_old_backup_of_etcd_was_restored(
    etcd_server: EtcdCluster,
) -> None:
    await write(etcd_server, a="1", b="1")
    backup = etcd_server.snapshot(etcd_server.directory / "backup.db")
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        await follow(etcd_server, watch)
        await delete(etcd_server, "b")
        assert isinstance(await news(watch), Delta)
        etcd_server.kill()
        assert isinstance(await news(watch), Stale)
        etcd_server.restore(backup)
        for number in range(20):
            await write(etcd_server, c=str(number))
        got = await news(watch)
        assert isinstance(got, Snapshot)
        assert got.reason == "history_replaced"
        assert [kv.key for kv in got.items] == ["/w/a", "/w/b", "/w/c"]


@pytest.mark.asyncio
async def test_p24_watch_moves_to_another_member_when_its_own_is_killed_or_frozen() -> None:
    with EtcdCluster.started(members=3) as etcd:
        await write(etcd, a="1")
        async with opened(etcd) as session:
            watch = session.watch("/w/")
            mirror = await follow(etcd, watch)
            for how in ("kill", "freeze"):
                member = next(one for one in etcd.members if one.endpoint == session.stats.endpoint)
                member.kill() if how == "kill" else member.freeze()
                last = await write_anyhow(etcd, how)
                await mirror.follow(watch, last)
                assert session.stats.endpoint != member.endpoint
                member.thaw() if how == "freeze" else member.launch()
            assert set(mirror.keys) == {"/w/a", "/w/live", "/w/kill", "/w/freeze"}
            assert session.stats.resyncs == {"started": 1}


async def write_anyhow(etcd: EtcdCluster, key: str) -> int:
    """Put a key, again and again while the cluster elects a leader."""
    async with EtcdSession(etcd.settings(timeout=1.0)) as session:
        for _ in range(20):
            try:
                return await session.put(f"/w/{key}", b"1")
            except StoreUnavailable:
                await asyncio.sleep(0.1)
    raise AssertionError("no write went through")


@pytest.mark.asyncio
async def test_p24_watch_goes_stale_when_its_member_has_no_leader() -> None:
    with EtcdCluster.started(members=3) as etcd:
        await write(etcd, a="1")
        async with opened(etcd) as session:
            watch = session.watch("/w/")
            mirror = await follow(etcd, watch)
            others = [one for one in etcd.members if one.endpoint != session.stats.endpoint]
            for member in others:
                member.kill()
            mirror.take(await until(watch, Stale))
            assert set(mirror.keys) == {"/w/a", "/w/live"}
            for member in others:
                member.launch()
            last = await write_anyhow(etcd, "b")
            await mirror.follow(watch, last)


@pytest.mark.asyncio
async def test_watch_lists_values_that_together_are_larger_than_a_message(etcd_server: EtcdCluster) -> None:
    """48 values of 1.4 MB are a message of etcd's: one writer must not end every listing of every host."""
    async with opened(etcd_server) as session:
        for number in range(50):
            await session.txn(Txn(success=(PutKey(f"/large/{number:02}", b"x" * 1_400_000),)))
        listed = await session.list("/large/")
        assert len(listed.items) == 50
        for number in range(50):
            await session.delete(f"/large/{number:02}")


@pytest.mark.asyncio
async def test_watch_lists_a_large_prefix_in_pages_at_one_revision(etcd_server: EtcdCluster) -> None:
    async with opened(etcd_server) as session:
        for first in range(0, 4500, 100):  # etcd takes 128 operations in one transaction
            puts = tuple(PutKey(f"/w/{number:05}", b"x" * 200) for number in range(first, first + 100))
            await session.txn(Txn(success=puts))
        listed = await session.list("/w/")
        assert [kv.key for kv in listed.items] == [f"/w/{number:05}" for number in range(4500)]
        assert max(kv.mod_revision for kv in listed.items) <= listed.revision
        assert session.stats.calls["list", "OK"] == 3


@pytest.mark.asyncio
async def test_watch_ends_when_its_session_is_closed(etcd_server: EtcdCluster) -> None:
    async with opened(etcd_server) as session:
        watch = session.watch("/w/")
        await news(watch)
        reader = asyncio.create_task(anext(watch, None))
        await asyncio.sleep(0.1)
    async with asyncio.timeout(DEADLINE_S):
        assert await reader is None
