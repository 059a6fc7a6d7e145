"""Hosts for tests of the lease protocol: a keeper each, its watch, and a store that loses questions or answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import combinations
from random import Random
from typing import Any, TypeVar

from flanpy.clock import Clock, SystemClock
from flanpy.errors import StoreUnavailable
from flanpy.model.address import Mac
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey, VxlanData
from flanpy.model.network.config import parse_network_config
from flanpy.model.network.network import NetworkConfig
from flanpy.store.lease_view import fold
from flanpy.store.own.keeper import LeaseKeeper
from flanpy.store.own.lease_writer import LeaseTable
from flanpy.store.own.own_lease import LeaseTerms, OwnLeaseState, StoredLease
from flanpy.store.port import KeyValue, LeaseState, PutKey, Snapshot, Store, Txn, TxnResult
from flanpy.store.schema import decode_key, subnets_prefix

Reply = TypeVar("Reply")


def network(text: str = "10.50.0.0/16", **more: object) -> NetworkConfig:
    """A vxlan network."""
    return parse_network_config(json.dumps({"Network": text, "Backend": {"Type": "vxlan"}, **more}))


DUAL: dict[str, Any] = {"EnableIPv6": True, "IPv6Network": "fd50::/48"}


def record(number: int, node: str = "") -> LeaseRecord:
    """Return the record that host `number` advertises; with node "", as flannel would."""
    mac = Mac(bytes((2, 0, 0, 0, number >> 8, number & 255)))
    return LeaseRecord(IPv4Address(0x0A630000 + number), None, "vxlan", VxlanData(mac, 1), None, node)


class Unreliable:
    """A store whose next calls may be lost before they arrive, or whose answers may be lost after they were done."""

    def __init__(self, store: LeaseTable) -> None:
        self.store = store
        self.faults: list[str] = []
        self.cut = False
        self.calls: list[str] = []
        self.late: list[Txn] = []

    async def get(self, key: str) -> KeyValue | None:
        return await self._through("get", self.store.get(key))

    async def list(self, prefix: str) -> Snapshot:
        return await self._through("list", self.store.list(prefix))

    async def txn(self, txn: Txn) -> TxnResult:
        if not self.cut and self.faults[:1] == ["late"]:
            self.faults.pop(0)
            self.late.append(txn)
            raise StoreUnavailable("txn: no answer; it is still under way")
        return await self._through("txn", self.store.txn(txn))

    async def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        return await self._through("put", self.store.put(key, value, lease_id))

    async def delete(self, key: str) -> bool:
        return await self._through("delete", self.store.delete(key))

    async def grant(self, ttl: int) -> int:
        return await self._through("grant", self.store.grant(ttl))

    async def revoke(self, lease_id: int) -> None:
        await self._through("revoke", self.store.revoke(lease_id))

    async def keep_alive(self, lease_id: int) -> int:
        return await self._through("keep_alive", self.store.keep_alive(lease_id))

    async def time_to_live(self, lease_id: int) -> LeaseState:
        return await self._through("time_to_live", self.store.time_to_live(lease_id))

    async def deliver_late(self) -> None:
        """Deliver the transactions that were under way."""
        late, self.late = self.late, []
        for txn in late:
            with suppress(Exception):
                await self.store.txn(txn)

    async def _through(self, name: str, call: Coroutine[Any, Any, Reply]) -> Reply:
        self.calls.append(name)
        fault = "before" if self.cut else (self.faults.pop(0) if self.faults else "")
        if fault == "before":
            call.close()
            raise StoreUnavailable(f"{name}: cut off")
        result = await call
        if fault == "after":
            raise StoreUnavailable(f"{name}: the answer was lost")
        return result


@dataclass
class Host:
    """One node: keeper, unreliable store, and what its disk holds. `restart` forgets all but the disk."""

    number: int
    store: Store
    prefix: str
    network: NetworkConfig
    clock: Clock = field(default_factory=SystemClock)
    terms: LeaseTerms = field(default_factory=LeaseTerms)
    node: str = ""
    disk: Lease | None = None
    previous: SubnetKey | None = None
    in_use: bool = True
    states: list[OwnLeaseState] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = self.node or f"node-{self.number}"
        self.rng = Random(self.number)
        self.start()

    def start(self) -> None:
        self.line = Unreliable(self.store)
        self.view = LeaseView()
        self.keeper = LeaseKeeper(
            self.line,
            self.prefix,
            clock=self.clock,
            rng=self.rng,
            on_change=self.states.append,
            remember=self._remember,
            terms=self.terms,
        )
        stored = StoredLease(self.disk, self.in_use) if self.disk is not None else None
        self.keeper.recall(stored, previous=self.previous)
        self.keeper.want(self.network, record(self.number, self.node))

    def _remember(self, lease: Lease | None) -> None:
        self.disk = lease

    @property
    def lease(self) -> Lease | None:
        return self.keeper.state.lease

    async def look(self) -> None:
        """Update the view as the watch would now, by a listing past the unreliable line."""
        snapshot = await self.store.list(subnets_prefix(self.prefix))
        self.view = fold(self.view, snapshot, subnets_prefix(self.prefix))
        self.keeper.observe(self.view)

    async def steps(self, number: int = 12) -> float:
        """Look, then take turns until the keeper wants to wait for more than a race's delay."""
        await self.look()
        pause = 0.0
        for _ in range(number):
            pause = await self.keeper.turn()
            if pause > 0.6 or self.line.cut:
                break
        return pause

    async def follow(self) -> None:
        """The watch of a real daemon."""
        watch = self.store.watch(subnets_prefix(self.prefix))
        try:
            async for news in watch:
                self.view = fold(self.view, news, subnets_prefix(self.prefix))
                self.keeper.observe(self.view)
        finally:
            await watch.aclose()

    async def live(self) -> None:
        """Watch and keeper together, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.follow())
            group.create_task(self.keeper.run())


async def until(condition: Callable[[], object], what: str, *, seconds: float = 30.0) -> None:
    """Wait until `condition()` holds (it may be a coroutine function)."""
    end = asyncio.get_running_loop().time() + seconds
    while True:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert asyncio.get_running_loop().time() < end, f"{what}: not within {seconds} s"
        await asyncio.sleep(0.02)


async def keys_in(store: LeaseTable, prefix: str) -> dict[str, KeyValue]:
    """Return all subnet keys."""
    snapshot = await store.list(subnets_prefix(prefix))
    return {kv.key.removeprefix(subnets_prefix(prefix)): kv for kv in snapshot.items}


def overlaps(keys: Mapping[str, object]) -> list[tuple[str, str]]:
    """Pairs of keys that share an address in either family; by `ipaddress` alone, not by the code under test."""
    parsed = [(text, key) for text in keys if isinstance(key := decode_key(text), SubnetKey)]
    return [
        (a, b)
        for (a, one), (b, two) in combinations(parsed, 2)
        if (one.subnet and two.subnet and one.subnet.overlaps(two.subnet))
        or (one.subnet6 and two.subnet6 and one.subnet6.overlaps(two.subnet6))
    ]


def a_put(prefix: str, key: str, value: bytes, lease_id: int = 0) -> PutKey:
    """A foreign writer's put."""
    return PutKey(f"{subnets_prefix(prefix)}{key}", value, lease_id)
