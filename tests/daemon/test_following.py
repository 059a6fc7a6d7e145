"""Members follow their store: a copy on the disk, a promoted store found and the old one refused, a move and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from flanpy.cli.cluster.move import moved
from flanpy.clock import SystemClock
from flanpy.cluster import authority, copy, place, records
from flanpy.cluster.place import Place
from flanpy.config.settings import EtcdOptions, Settings
from flanpy.daemon.following.session import FollowingSession
from flanpy.errors import StoreDenied, StoreError
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings
from flanpy.storeserver.backup import found
from tests.etcd_server import EtcdCluster
from tests.storeserver.cluster import Cluster

pytestmark = [pytest.mark.etcd, pytest.mark.asyncio]

FIRST, SECOND = "127.0.0.2", "127.0.0.3"
SUBNET = "/coreos.com/network/subnets/10.50.1.0-24"


@dataclass
class Pair:
    """A store at one address, and a member at another that may take it over."""

    first: Cluster
    certificate: Path
    key: Path
    state: Path

    def settings(self) -> Settings:
        """Return the member's settings."""
        etcd = EtcdOptions(endpoints=(self.first.url,), cafile=self.first.ca, certfile=self.certificate,
                           keyfile=self.key, follow=True)  # fmt: skip
        return Settings(state_dir=self.state, etcd=etcd)

    def promoted(self) -> Cluster:
        """Return the store that the member's copy makes, not yet started: as `store promote` does it, by its files."""
        kept = copy.load(self.state)
        assert kept is not None
        assert kept.place is not None
        directory = self.state / "promoted"
        directory.mkdir()
        second = Cluster(directory, self.first.ports, SECOND)
        second.ca.write_text(authority.joined(second.ca.read_text(), self.first.ca.read_text()))
        second.shown = (self.certificate, self.key)
        after = replace(
            kept.place, number=kept.place.number + 1, generation=kept.place.generation + 1, member=7,
            endpoints=(second.url,), joins=(second.door,), authority=second.ca.read_text(),
        )  # fmt: skip
        data = directory / "data"
        data.mkdir()
        found(kept, after, data)
        return second

    @asynccontextmanager
    async def following(self) -> AsyncIterator[FollowingSession]:
        """Run the member's session with its tasks."""
        async with FollowingSession(self.settings(), clock=SystemClock()) as session:
            tasks = [asyncio.create_task(task, name=name) for name, task in session.tasks().items()]
            try:
                yield session
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    (tmp_path / "first").mkdir()
    (tmp_path / "state").mkdir()
    first = Cluster(tmp_path / "first", host=FIRST)
    second: list[Cluster] = []
    try:
        first.start()
        certificate, key = first.member_at("web-2", SECOND)
        first.settle()
        yield Pair(first, certificate, key, tmp_path / "state")
    finally:
        for one in (first, *second):
            one.process.kill()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    for _ in range(1200):
        if condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{what}: not within 60 s")


def kept_value(pair: Pair, key: str) -> bytes | None:
    """Return what the copy on the disk has of a key."""
    kept = copy.load(pair.state)
    return kept.items[key][0] if kept and key in kept.items else None


async def test_copy_on_the_disk_follows_every_key_and_names_its_damage(pair: Pair) -> None:
    async with pair.following() as session:
        lease = await session.grant(600)
        await session.put(SUBNET, b"{}", lease)
        await until(lambda: kept_value(pair, SUBNET) == b"{}", "the copy has the key")
        kept = copy.load(pair.state)
        assert kept is not None
        assert kept.items[SUBNET][1] == lease
        assert [one.name for one in kept.members()] == ["web-2"]
        await session.delete(SUBNET)
        await until(lambda: kept_value(pair, SUBNET) is None, "the copy lost the key")
    path = pair.state / copy.FILE
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(path.read_text().replace("revision", "rEvision"))
    with pytest.raises(Exception, match="is damaged"):
        copy.load(pair.state)


async def test_members_find_a_promoted_store_and_the_old_one_ends_when_it_comes_back(pair: Pair) -> None:
    async with pair.following() as session:
        lease = await session.grant(600)
        await session.put(SUBNET, b"mine", lease)
        await until(lambda: kept_value(pair, SUBNET) == b"mine", "the copy has the key")
        pair.first.process.kill()
        second = pair.promoted()
        try:
            second.start()
            await until(lambda: session.settings.endpoints == (second.url,), "the member follows")
            seen = await session.get(SUBNET)
            assert seen is not None
            assert (seen.value, seen.lease_id) == (b"mine", lease)
            assert await session.keep_alive(lease) > 600
            assert session.head.generation == 2
            pair.first.process.start(pair.first.argv)
            await until(lambda: not pair.first.process.running, "the old store ends")
            assert pair.first.process.exit_code == 67
            assert f"a store of generation 2 serves this cluster at {second.url}" in pair.first.log()
            _join_there(second)
        finally:
            second.process.kill()
    remembered = place.remembered(pair.state)
    assert remembered is not None
    assert (remembered.number, remembered.endpoints) == (2, (second.url,))


def _join_there(second: Cluster) -> None:
    """A host that knows neither authority joins at the promoted store, and trusts what that shows."""
    second.operator = second.issue("operator", records.OPERATOR)
    second.ca_key = second.directory / "ca.key"
    with second.client(*second.join(second.token(), "late")) as client:
        assert client.values(SUBNET.encode())


async def test_client_that_knows_the_newer_store_refuses_the_older_by_name(pair: Pair) -> None:
    """The old store cannot reach the new one's host here, as in a parted network: so the client has to know."""
    certificate, key = pair.first.operator
    known = EtcdSettings((pair.first.url,), ca_file=pair.first.ca, cert_file=certificate, key_file=key)
    async with EtcdSession(known) as session:
        await session.get(SUBNET)
        newer = replace(session.head, generation=session.head.generation + 1)
        twin = replace(session.head, member=session.head.member + 1)
        session.use(replace(known, expected=session.head))
        await session.get(SUBNET)
        for expected in (newer, twin):
            session.use(replace(known, expected=expected))
            with pytest.raises(
                StoreDenied, match=r"of generation 1, and a store of generation . took this cluster"
            ):
                await session.get(SUBNET)
            with pytest.raises(StoreError, match="took this cluster over"):
                await session.open_stream("/", 1)


async def test_old_store_that_runs_ends_once_it_can_reach_the_newer_one(pair: Pair) -> None:
    async with pair.following() as session:
        await until(lambda: kept_value(pair, place.KEY) is not None, "the copy is there")
        second = pair.promoted()
        try:
            second.start()
            await until(lambda: not pair.first.process.running, "the old store ends")
            assert pair.first.process.exit_code == 67
            await until(lambda: session.settings.endpoints == (second.url,), "the member follows")
        finally:
            second.process.kill()


def _operator(pair: Pair) -> EtcdSettings:
    certificate, key = pair.first.operator
    return EtcdSettings((pair.first.url,), ca_file=pair.first.ca, cert_file=certificate, key_file=key)


async def test_members_follow_to_an_etcd_and_back_with_their_leases(pair: Pair) -> None:
    with EtcdCluster.started() as etcd:
        async with (
            pair.following() as session,
            EtcdSession(_operator(pair)) as old,
            EtcdSession(etcd.settings()) as new,
        ):
            lease = await session.grant(600)
            await session.put(SUBNET, b"mine", lease)
            there = await moved(old, new, "/coreos.com/network", "", urls=etcd.urls, joins=(pair.first.door,))
            assert not there.place.embedded
            await until(lambda: session.settings.endpoints == etcd.urls, "the member follows")
            assert await session.keep_alive(lease) == 600
            await session.put(SUBNET, b"changed there", lease)
            await session.put("/coreos.com/network/subnets/10.50.2.0-24", b"new there", lease)
            with pair.first.client(pair.certificate, pair.key) as late:
                assert late.values(SUBNET.encode()) == {SUBNET.encode(): b"mine"}
                with pytest.raises(grpc.RpcError) as refused:
                    late.put(SUBNET.encode(), b"too late")
                assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            back = await moved(
                new, old, "/coreos.com/network", "", urls=(pair.first.url,), joins=(pair.first.door,)
            )
            assert (back.place.number, back.place.embedded) == (3, True)
            await until(lambda: session.settings.endpoints == (pair.first.url,), "the member is back")
            await session.put(SUBNET, b"and here", lease)
            snapshot = await session.list("/coreos.com/")
            assert {item.value for item in snapshot.items} == {b"and here", b"new there"}


async def test_move_into_a_strangers_etcd_is_refused(pair: Pair) -> None:
    with EtcdCluster.started() as etcd:
        etcd.api.put("/coreos.com/network/config", "{}")
        async with EtcdSession(_operator(pair)) as old, EtcdSession(etcd.settings()) as new:
            with pytest.raises(Exception, match="keys of others below /, such as"):
                await moved(old, new, "/coreos.com/network", "", urls=etcd.urls, joins=())
            seen = await old.get(place.KEY)
            assert seen is not None
            assert place.place_of(seen.value) == pair_place(pair)


def pair_place(pair: Pair) -> Place:
    """Return the place as it was at first."""
    with pair.first.client(*pair.first.operator) as client:
        (value,) = client.values(place.KEY.encode()).values()
    found_ = place.place_of(value)
    assert found_ is not None
    assert found_.number == 1
    return found_
