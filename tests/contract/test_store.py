"""The contract of every `port.Store`: the same cases on the fake, on a real etcd, and on the embedded store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import product

import pytest

from flanpy.errors import LeaseGone, StoreError
from flanpy.store.port import (
    Compare,
    CompareTarget,
    DeleteKey,
    Delta,
    Get,
    News,
    PutKey,
    Relation,
    Snapshot,
    Store,
    Txn,
    Watch,
    key_absent,
    key_unchanged,
)
from flanpy.store.session.etcd import EtcdSession
from tests.conftest import EtcdSpace
from tests.fakes.etcd import FakeSession

DEADLINE_S = 60.0


@dataclass(frozen=True)
class Space:
    """A store under test, and a prefix of the test's own."""

    store: Store
    prefix: str

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}"


@pytest.fixture(params=["fake", pytest.param("etcd", marks=pytest.mark.etcd), "embedded"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def opened(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Space]:
    if kind == "fake":
        yield Space(FakeSession(), "/test-0")
        return
    space: EtcdSpace = request.getfixturevalue(kind)
    async with EtcdSession(space.settings) as session:
        yield Space(session, space.prefix)


async def news(watch: Watch) -> News:
    async with asyncio.timeout(DEADLINE_S):
        return await anext(watch)


async def deltas(watch: Watch, revision: int) -> tuple[dict[str, bytes], set[str]]:
    """All changes up to `revision`, merged as a view would: a store may split them over several deltas."""
    puts: dict[str, bytes] = {}
    gone: set[str] = set()
    while True:
        got = await news(watch)
        if not isinstance(got, Delta):
            continue
        for kv in got.puts:
            puts[kv.key] = kv.value
            gone.discard(kv.key)
        for deletion in got.deletes:
            puts.pop(deletion.key, None)
            gone.add(deletion.key)
        if got.revision >= revision:
            return puts, gone


@pytest.mark.asyncio
async def test_get_returns_nothing_when_the_key_does_not_exist(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        assert await space.store.get(space.key("absent")) is None


@pytest.mark.asyncio
async def test_put_counts_versions_and_keeps_the_create_revision_when_a_key_is_written_again(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        first = await space.store.put(space.key("a"), b"1")
        second = await space.store.put(space.key("a"), b"2")
        kv = await space.store.get(space.key("a"))
        assert kv is not None
        assert (kv.value, kv.version, kv.create_revision, kv.mod_revision) == (b"2", 2, first, second)
        assert second > first


@pytest.mark.asyncio
async def test_create_revision_starts_anew_when_a_deleted_key_is_written(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        await space.store.put(space.key("a"), b"1")
        assert await space.store.delete(space.key("a"))
        assert not await space.store.delete(space.key("a"))
        created = await space.store.put(space.key("a"), b"2")
        kv = await space.store.get(space.key("a"))
        assert kv is not None
        assert (kv.version, kv.create_revision) == (1, created)


@pytest.mark.asyncio
async def test_list_is_in_key_order_and_within_the_prefix(kind: str, request: pytest.FixtureRequest) -> None:
    async with opened(kind, request) as space:
        for name in ("b", "a/2", "a/1", "a"):
            await space.store.put(space.key(name), name.encode())
        last = await space.store.put(space.key("zz"), b"")
        listed = await space.store.list(space.key("a"))
        assert [kv.key for kv in listed.items] == [space.key(name) for name in ("a", "a/1", "a/2")]
        assert listed.revision >= last


@pytest.mark.asyncio
async def test_txn_takes_the_success_branch_when_every_compare_holds(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        key = space.key("a")
        claim = Txn((key_absent(key),), (PutKey(key, b"mine"),), (Get(key),))
        won = await space.store.txn(claim)
        lost = await space.store.txn(claim)
        assert won.succeeded
        assert won.reads == ()
        assert not lost.succeeded
        assert [(kv.value, kv.mod_revision) for kv in lost.reads] == [(b"mine", won.revision)]
        assert lost.revision == won.revision, "a transaction that writes nothing makes no revision"


@pytest.mark.asyncio
async def test_txn_refuses_a_write_when_the_key_changed_since_it_was_read(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        key = space.key("a")
        await space.store.put(key, b"1")
        seen = await space.store.get(key)
        assert seen is not None
        assert (await space.store.txn(Txn((key_unchanged(seen),), (PutKey(key, b"2"),)))).succeeded
        assert not (await space.store.txn(Txn((key_unchanged(seen),), (PutKey(key, b"3"),)))).succeeded


@pytest.mark.asyncio
async def test_txn_compares_every_key_of_a_prefix(kind: str, request: pytest.FixtureRequest) -> None:
    async with opened(kind, request) as space:

        async def holds(operand: int, relation: Relation) -> bool:
            compare = Compare(space.key("a/"), CompareTarget.CREATE_REVISION, operand, relation, prefix=True)
            return (await space.store.txn(Txn((compare,)))).succeeded

        assert await holds(0, Relation.EQUAL)
        assert not await holds(0, Relation.GREATER)
        first = await space.store.put(space.key("a/1"), b"")
        await space.store.put(space.key("b"), b"")
        assert await holds(first + 1, Relation.LESS)
        second = await space.store.put(space.key("a/2"), b"")
        assert not await holds(first + 1, Relation.LESS)
        assert await holds(second + 1, Relation.LESS)
        assert not await holds(first, Relation.EQUAL)


@pytest.mark.asyncio
async def test_txn_writes_several_keys_at_one_revision_and_reads_what_it_wrote(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        a, b, c = (space.key(name) for name in "abc")
        await space.store.put(c, b"old")
        done = await space.store.txn(
            Txn(success=(PutKey(a, b"1"), PutKey(b, b"2"), DeleteKey(c), Get(space.prefix, prefix=True)))
        )
        assert [(kv.key, kv.mod_revision) for kv in done.reads] == [(a, done.revision), (b, done.revision)]


@pytest.mark.asyncio
async def test_txn_deletes_a_prefix(kind: str, request: pytest.FixtureRequest) -> None:
    async with opened(kind, request) as space:
        for name in ("a/1", "a/2", "b"):
            await space.store.put(space.key(name), b"")
        await space.store.txn(Txn(success=(DeleteKey(space.key("a/"), prefix=True),)))
        assert [kv.key for kv in (await space.store.list(space.prefix)).items] == [space.key("b")]


@pytest.mark.asyncio
async def test_txn_is_refused_whole_when_it_puts_a_key_twice(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        twice = Txn(
            success=(PutKey(space.key("b"), b""), PutKey(space.key("a"), b"1"), PutKey(space.key("a"), b"2"))
        )
        with pytest.raises(StoreError, match="duplicate key"):
            await space.store.txn(twice)
        assert (await space.store.list(space.prefix)).items == ()


@pytest.mark.asyncio
async def test_compare_agrees_with_etcd_for_each_target_and_relation(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        key = space.key("a")
        lease_id = await space.store.grant(60)
        await space.store.put(key, b"m", lease_id)
        await space.store.put(key, b"m", lease_id)
        kv = await space.store.get(key)
        assert kv is not None
        numbers = {
            CompareTarget.CREATE_REVISION: kv.create_revision,
            CompareTarget.MOD_REVISION: kv.mod_revision,
            CompareTarget.VERSION: 2,
            CompareTarget.LEASE: lease_id,
        }
        for (target, number), relation, off in product(numbers.items(), Relation, (-1, 0, 1)):
            compare = Compare(key, target, number + off, relation)
            assert await holds(space, compare) == EXPECTED[relation][off], compare
        for (value, off), relation in product(((b"l", -1), (b"m", 0), (b"n", 1)), Relation):
            compare = Compare(key, CompareTarget.VALUE, value, relation)
            assert await holds(space, compare) == EXPECTED[relation][off], compare


# The operand is the key's number plus `off`.
EXPECTED = {
    Relation.EQUAL: {-1: False, 0: True, 1: False},
    Relation.NOT_EQUAL: {-1: True, 0: False, 1: True},
    Relation.GREATER: {-1: True, 0: False, 1: False},
    Relation.LESS: {-1: False, 0: False, 1: True},
}


async def holds(space: Space, compare: Compare) -> bool:
    return (await space.store.txn(Txn((compare,)))).succeeded


@pytest.mark.asyncio
async def test_compare_takes_an_absent_key_for_zero_but_never_for_a_value(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        key = space.key("absent")
        for target in (
            CompareTarget.CREATE_REVISION,
            CompareTarget.MOD_REVISION,
            CompareTarget.VERSION,
            CompareTarget.LEASE,
        ):
            assert await holds(space, Compare(key, target, 0)), target
            assert not await holds(space, Compare(key, target, 0, Relation.GREATER)), target
        for relation in Relation:
            assert not await holds(space, Compare(key, CompareTarget.VALUE, b"", relation)), relation


@pytest.mark.asyncio
async def test_lease_takes_its_keys_along_when_it_is_revoked(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        lease_id = await space.store.grant(60)
        await space.store.put(space.key("a"), b"", lease_id)
        await space.store.put(space.key("b"), b"")
        state = await space.store.time_to_live(lease_id)
        assert state.granted == 60
        assert 55 <= state.remaining <= 60
        assert state.keys == (space.key("a"),)
        await space.store.revoke(lease_id)
        assert [kv.key for kv in (await space.store.list(space.prefix)).items] == [space.key("b")]


@pytest.mark.asyncio
async def test_lease_is_gone_for_every_use_when_it_was_revoked(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        lease_id = await space.store.grant(60)
        assert await space.store.keep_alive(lease_id) == 60
        await space.store.revoke(lease_id)
        await space.store.revoke(lease_id)
        with pytest.raises(LeaseGone):
            await space.store.keep_alive(lease_id)
        with pytest.raises(LeaseGone):
            await space.store.time_to_live(lease_id)
        with pytest.raises(LeaseGone):
            await space.store.put(space.key("a"), b"", lease_id)


@pytest.mark.asyncio
async def test_lease_lets_a_key_go_when_the_key_is_written_without_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        lease_id = await space.store.grant(60)
        await space.store.put(space.key("a"), b"", lease_id)
        await space.store.put(space.key("a"), b"")
        assert (await space.store.time_to_live(lease_id)).keys == ()
        await space.store.revoke(lease_id)
        assert await space.store.get(space.key("a")) is not None


@pytest.mark.asyncio
async def test_lease_expires_and_the_watch_sees_the_key_go_when_nobody_renews_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        lease_id = await space.store.grant(1)
        await space.store.put(space.key("a"), b"", lease_id)
        watch = space.store.watch(space.prefix)
        first = await news(watch)
        assert isinstance(first, Snapshot)
        _, gone = await deltas(watch, first.revision + 1)
        assert gone == {space.key("a")}
        with pytest.raises(LeaseGone):
            await space.store.keep_alive(lease_id)
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_lists_first_and_then_tells_every_change(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        await space.store.put(space.key("old"), b"0")
        watch = space.store.watch(space.prefix)
        first = await news(watch)
        assert isinstance(first, Snapshot)
        assert [kv.key for kv in first.items] == [space.key("old")]
        assert first.reason == "started"
        await space.store.put(space.key("new"), b"1")
        await space.store.put(space.prefix[:-1] + "-elsewhere", b"")
        await space.store.put(space.key("new"), b"2")
        await space.store.delete(space.key("old"))
        last = await space.store.put(space.key("end"), b"3")
        puts, gone = await deltas(watch, last)
        assert puts == {space.key("new"): b"2", space.key("end"): b"3"}
        assert gone == {space.key("old")}
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_tells_a_transaction_as_one_delta(kind: str, request: pytest.FixtureRequest) -> None:
    async with opened(kind, request) as space:
        watch = space.store.watch(space.prefix)
        await news(watch)
        done = await space.store.txn(
            Txn(success=(PutKey(space.key("a"), b"1"), PutKey(space.key("b"), b"2")))
        )
        got = await news(watch)
        assert isinstance(got, Delta)
        assert {kv.key: kv.mod_revision for kv in got.puts} == {
            space.key("a"): done.revision,
            space.key("b"): done.revision,
        }
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_lists_again_when_asked_and_goes_on_from_there(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        watch = space.store.watch(space.prefix)
        await news(watch)
        waiting = asyncio.create_task(news(watch))
        await asyncio.sleep(0.05)
        watch.relist("brake")
        again = await waiting
        assert isinstance(again, Snapshot)
        assert again.reason == "brake"
        last = await space.store.put(space.key("a"), b"1")
        puts, _ = await deltas(watch, last)
        assert puts == {space.key("a"): b"1"}
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_loses_nothing_when_its_reader_gives_up_waiting(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        watch = space.store.watch(space.prefix)
        await news(watch)
        last = 0
        for number in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01 if number else 0.2):
                    await anext(watch)
        for number in range(5):
            last = await space.store.put(space.key(str(number)), b"")
        puts, _ = await deltas(watch, last)
        assert set(puts) == {space.key(str(number)) for number in range(5)}
        await watch.aclose()


@pytest.mark.asyncio
async def test_watch_ends_when_it_is_closed_under_its_reader(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        watch = space.store.watch(space.prefix)
        await news(watch)
        reader = asyncio.create_task(anext(watch, "ended"))
        await asyncio.sleep(0.05)
        await watch.aclose()
        async with asyncio.timeout(DEADLINE_S):
            assert await reader == "ended"


@pytest.mark.asyncio
async def test_compare_over_a_prefix_holds_when_it_does_for_every_key_or_for_an_absent_one(
    kind: str, request: pytest.FixtureRequest
) -> None:
    async with opened(kind, request) as space:
        first = await space.store.put(space.key("a/1"), b"x")
        last = await space.store.put(space.key("a/2"), b"y")
        for target, operand, relation, expected in (
            (CompareTarget.MOD_REVISION, last + 1, Relation.LESS, True),
            (CompareTarget.MOD_REVISION, last, Relation.LESS, False),
            (CompareTarget.MOD_REVISION, first, Relation.GREATER, False),
            (CompareTarget.CREATE_REVISION, 0, Relation.EQUAL, False),
            (CompareTarget.VALUE, b"z", Relation.LESS, True),
            (CompareTarget.VALUE, b"x", Relation.EQUAL, False),
        ):
            compare = Compare(space.key("a/"), target, operand, relation, prefix=True)
            assert await holds(space, compare) == expected, compare
        nothing = space.key("absent/")
        assert await holds(space, Compare(nothing, CompareTarget.CREATE_REVISION, 0, prefix=True))
        assert await holds(space, Compare(nothing, CompareTarget.MOD_REVISION, 1, Relation.LESS, prefix=True))
        assert not await holds(
            space, Compare(nothing, CompareTarget.MOD_REVISION, 0, Relation.GREATER, prefix=True)
        )
        assert not await holds(space, Compare(nothing, CompareTarget.VALUE, b"", prefix=True))
