"""The rotation of all keys: each host in its turn, none left out, and a host that dies in its turn holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from flanpy.daemon.rotation_turns import AGAIN_S, SKEW_S, TURN_S, RotationTurns
from flanpy.errors import HostError
from flanpy.model.world import Policy, World
from flanpy.store.port import KeyValue, PutKey, StoreSession, Txn
from flanpy.store.rotation import decode_rotation, encode_request, request_key, rotation_prefix, turn_key
from tests.daemon.rig import PREFIX, Session
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd

NODES = ("n/1", "n2", "n3")


@dataclass
class Cluster:
    """Hosts that share an etcd; `changed` has them in the order of their changes."""

    clock: FakeClock = field(default_factory=FakeClock)
    changed: list[str] = field(default_factory=list)
    busy: int = 0
    failing: set[str] = field(default_factory=set)
    made_at: float | None = None

    def __post_init__(self) -> None:
        self.etcd = FakeEtcd(self.clock)
        self.tasks: dict[str, list[asyncio.Task[None]]] = {}

    def start(self, node: str) -> None:
        async def rotate() -> None:
            assert self.busy == 0
            self.busy += 1
            await self.clock.sleep(0.5)
            self.busy -= 1
            if node in self.failing:
                raise HostError("etcd is away")
            self.changed.append(node)

        turns = RotationTurns(
            cast(StoreSession, Session(self.etcd)),
            PREFIX,
            node,
            clock=self.clock,
            world=lambda: World(Policy(node)),
            rotate=rotate,
            made_at=lambda: self.made_at,
        )
        self.tasks[node] = [asyncio.create_task(work) for work in turns.tasks().values()]

    def stop(self, node: str) -> None:
        for task in self.tasks.pop(node):
            task.cancel()

    def put(self, key: str, value: bytes, ttl: int = 0) -> None:
        lease = self.etcd.grant(ttl) if ttl else 0
        self.etcd.run(Txn((), (PutKey(key, value, lease),)))
        self.etcd.wake()

    async def ask(self, request: str = "r1") -> None:
        self.put(request_key(PREFIX), encode_request(request, self.clock.wall()))
        await self.pass_time(10)

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds * 4):
            await self.clock.advance(0.25)

    @property
    def done(self) -> dict[str, str]:
        return dict(decode_rotation(self.etcd.find(rotation_prefix(PREFIX)), PREFIX).done)


@asynccontextmanager
async def cluster(*nodes: str) -> AsyncIterator[Cluster]:
    made = Cluster()
    for node in nodes:
        made.start(node)
    await made.clock.advance(1)
    yield made
    for node in tuple(made.tasks):
        made.stop(node)


@pytest.mark.asyncio
async def test_every_host_changes_its_key_once_one_after_another() -> None:
    async with cluster(*NODES) as found:
        assert found.changed == []
        await found.ask()
        assert sorted(found.changed) == sorted(NODES)
        assert found.done == dict.fromkeys(NODES, "r1")
        await found.pass_time(30)
        assert len(found.changed) == len(NODES)
        await found.ask("r2")
        assert len(found.changed) == 2 * len(NODES)


@pytest.mark.asyncio
async def test_host_that_was_away_changes_its_key_when_it_is_back() -> None:
    async with cluster("n2") as found:
        await found.ask()
        assert found.changed == ["n2"]
        found.start("n3")
        await found.pass_time(5)
        assert found.changed == ["n2", "n3"]


@pytest.mark.asyncio
async def test_host_that_ends_in_its_turn_holds_up_the_others_no_longer_than_the_turn() -> None:
    async with cluster("n2") as found:
        found.put(turn_key(PREFIX), b"dead", ttl=TURN_S)
        await found.ask()
        assert found.changed == []
        await found.pass_time(TURN_S + 5)
        assert found.changed == ["n2"]


@pytest.mark.asyncio
async def test_host_whose_key_cannot_be_changed_gives_the_turn_back_and_tries_again() -> None:
    async with cluster("n2", "n3") as found:
        found.failing = {"n2"}
        await found.ask()
        assert found.changed == ["n3"]
        found.failing = set()
        await found.pass_time(int(AGAIN_S) + 5)
        assert found.changed == ["n3", "n2"]


@pytest.mark.asyncio
async def test_key_that_is_younger_than_the_request_stays() -> None:
    async with cluster("n2") as found:
        found.made_at = found.clock.wall() + SKEW_S + 5
        await found.ask()
        assert (found.changed, found.done) == ([], {"n2": "r1"})


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b"{}", b'{"ID":7}', b"[" * 100_000, b"\xff"])
def test_request_that_cannot_be_read_is_none(value: bytes) -> None:
    found = decode_rotation([KeyValue(request_key(PREFIX), value, 1, 1, 1, 0)], PREFIX)
    assert not found.is_due("n2")
