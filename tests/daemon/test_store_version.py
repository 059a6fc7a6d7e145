"""The version of a real etcd and of the embedded store, as a status names it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Unpack

import pytest

from flanpy.clock import SystemClock
from flanpy.daemon.latest import Latest
from flanpy.daemon.leasing.lease_watch import LeaseWatch
from flanpy.status import report
from flanpy.status.board import StatusBoard
from flanpy.status.inputs import InputChanges
from flanpy.store.session.etcd import EtcdSession
from flanpy.storeserver.rpc.maintenance import VERSION as STORE_VERSION
from integration.etcd.cluster import etcd_binary
from integration.net.namespaces import run
from tests.conftest import EtcdSpace

pytestmark = [pytest.mark.etcd, pytest.mark.asyncio]

HEAD = report.DaemonHead("0.1.0", "node-0", 4711, 0.0)


class TellingBoard(StatusBoard):
    """A board that sets `told` when the status has the store's version."""

    told: asyncio.Event

    def note(self, **changes: Unpack[InputChanges]) -> None:
        super().note(**changes)
        if self.snapshot.inputs.store.version:
            self.told.set()


async def _named(space: EtcdSpace) -> str:
    """Return the version in the status of a daemon's part that follows this store."""
    clock = SystemClock()
    board = TellingBoard(clock)
    board.told = asyncio.Event()
    async with EtcdSession(space.settings) as session:
        watch = LeaseWatch(
            session,
            space.prefix,
            clock=clock,
            board=board,
            answers=Latest().answers,
            changed=lambda _: None,
            parted=lambda: None,
        )
        tasks = [asyncio.create_task(watch.follow()), asyncio.create_task(watch.learn_version())]
        try:
            async with asyncio.timeout(60):
                await board.told.wait()
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    return report.status(board.snapshot, now=clock.wall(), head=HEAD).store.version


async def test_status_names_the_version_of_etcd(etcd: EtcdSpace) -> None:
    said = run([str(etcd_binary()), "--version"]).stdout
    assert said.startswith(f"etcd Version: {await _named(etcd)}\n")


async def test_status_names_the_version_of_the_embedded_store(embedded: EtcdSpace) -> None:
    assert await _named(embedded) == STORE_VERSION
