"""Leasing between an etcd in memory and a reconcile loop over a kernel in memory, on a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from flanpy.config import Settings, load
from flanpy.daemon.latest import Latest
from flanpy.daemon.leasing.leasing import Leasing
from flanpy.model.condition import Condition, ConditionType
from flanpy.model.world import Policy
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass
from flanpy.status.board import StatusBoard
from flanpy.store.port import PutKey, Txn
from flanpy.store.schema import encode_record
from flanpy.store.session.etcd import EtcdSession
from flanpy.store.session.settings import EtcdSettings, parse_endpoints
from tests.fakes.clock import FakeClock
from tests.fakes.etcd import FakeEtcd, FakeSession
from tests.fakes.kernel import FakeKernel
from tests.reconcile.rig import HOST_LINKS
from tests.states import FACTS, lease, of_backend

PREFIX = "/coreos.com/network"
NETWORK = '{"Network":"10.50.0.0/16","Backend":{"Type":"vxlan"}}'
NODE = "node-0"


class Session(FakeSession):
    """A fake session with the counters that the daemon reads."""

    stats = SimpleNamespace(endpoint="fake", heard=None, connected_since=None)
    endpoints = parse_endpoints(EtcdSettings())
    is_list = False
    version = "3.5.30"

    async def server_version(self) -> str:
        """Answer what the test says."""
        return await self._call("server_version", lambda: self.version)


@dataclass
class Rig:
    etcd: FakeEtcd
    session: Session
    clock: FakeClock
    settings: Settings
    kernel: FakeKernel
    board: StatusBoard
    loop: ReconcileLoop
    latest: Latest
    leasing: Leasing

    async def pulse(self) -> None:
        """As the agent's: conditions wait for their time to be shown."""
        while True:
            self.board.judge_again()
            await self.clock.sleep(1.0)

    def configure(self, text: str = NETWORK) -> None:
        """Put the network config into etcd."""
        self.etcd.run(Txn((), (PutKey(f"{PREFIX}/config", text.encode()),), ()))
        self.etcd.wake()

    def put_lease(self, number: int, backend: str) -> None:
        """The lease of peer `number` of tests/states.py in a network of this backend."""
        made = of_backend(backend, lease(number))
        key = f"{PREFIX}/subnets/{made.key}"
        self.etcd.run(Txn((), (PutKey(key, encode_record(made.record), self.etcd.grant(3600)),), ()))
        self.etcd.wake()

    def condition(self, kind: ConditionType) -> Condition:
        return next(each for each in self.board.snapshot.conditions if each.type is kind)

    def subnets(self) -> list[str]:
        """The keys of all leases in etcd."""
        return [kv.key.rpartition("/")[2] for kv in self.etcd.find(f"{PREFIX}/subnets/")]


def make(tmp_path: Path, *flags: str, etcd: FakeEtcd | None = None) -> Rig:
    """The parts, connected as the agent connects them; nothing runs yet."""
    clock = FakeClock()
    etcd = etcd or FakeEtcd(clock)
    session = Session(etcd)
    places = [f"--state-dir={tmp_path}/state", f"--subnet-file={tmp_path}/subnet.env"]
    settings = load([*places, *flags], {}, default_file=tmp_path / "none.toml")
    latest = Latest()
    board, kernel = StatusBoard(clock), FakeKernel(host_links=HOST_LINKS)

    def pass_done(outcome: Pass) -> None:
        latest.last = outcome
        leasing.pass_done(outcome)
        board.note_pass(outcome)

    loop = ReconcileLoop(
        kernel,
        Policy(NODE),
        clock=clock,
        resync_interval=3600,
        on_pass=pass_done,
        request_listing=lambda _reason: None,
    )
    leasing = Leasing(
        cast(EtcdSession, session), settings, NODE, clock=clock, loop=loop, board=board, latest=latest
    )
    return Rig(etcd, session, clock, settings, kernel, board, loop, latest, leasing)


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """All of it runs, with the facts of a host."""
    rig.leasing.recall()
    works = (rig.loop.run(), rig.pulse(), *rig.leasing.tasks().values())
    tasks = [asyncio.create_task(work) for work in works]
    rig.loop.facts_changed(FACTS)
    rig.leasing.world_changed()
    try:
        await rig.clock.advance(1.0)
        await rig.leasing.close()
        yield rig
    finally:
        await rig.leasing.close()
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
