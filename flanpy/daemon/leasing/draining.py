"""Drain: gives our lease back and keeps this host out of the network, over restarts too, until it is undone.

The mark on disk (`host.drain_file`) comes before the release and goes before the lease is taken again, so that a daemon
that ends in between does what was asked for last. Must not take down what stands in the kernel: the loop does, for it
has no lease then.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from flanpy.clock import Clock, set_within
from flanpy.errors import StoreError, StoreUnavailable
from flanpy.host import drain_file
from flanpy.host.disk_work import in_time
from flanpy.host.drain_file import Drained
from flanpy.log import get_logger
from flanpy.model.lease import Lease
from flanpy.reconcile.outcome import Pass
from flanpy.store.own.keeper import LeaseKeeper

log = get_logger()

DEADLINE = 15.0
"""Seconds that giving the lease back may take, and then that the last pass may."""


class Draining:
    """Drains and takes part again; answers the two commands of the control socket."""

    def __init__(self, keeper: LeaseKeeper, state_dir: Path, *, clock: Clock) -> None:
        self._keeper = keeper
        self._state_dir = state_dir
        self._clock = clock
        self._idle = asyncio.Event()

    def pass_done(self, outcome: Pass) -> None:
        """A pass ended: without a lease nothing is planned any more."""
        if outcome.world.own is None:
            self._idle.set()
        else:
            self._idle.clear()

    async def drain(self) -> dict[str, Any]:
        """Give the lease back and stay out, over restarts too, until `undrain`; returns once nothing is planned.

        Raises HostError if that cannot be kept on disk, StoreError if etcd cannot be told: then all is as it was.
        """
        held, was = self._keeper.state.lease, self._keeper.state.drained
        if not was:
            await self._mark(held)
            try:
                async with asyncio.timeout(DEADLINE):
                    await self._keeper.release()
            except (StoreError, TimeoutError) as error:
                self._keeper.resume()
                await self._unmark()
                why = str(error) or f"no answer within {DEADLINE:g} s"
                raise StoreUnavailable(f"nothing was drained, for etcd must be told: {why}") from error
            log.info("drain_done", subnet=held.key if held is not None else None)
        await set_within(self._idle, self._clock, DEADLINE)
        return {"drained": True, "changed": not was, **self._given_back(held)}

    async def undrain(self) -> dict[str, Any]:
        """Take part again, on the same subnet if it is free. Raises HostError: then all is as it was."""
        was = self._keeper.state.drained
        await self._unmark()
        if was:
            log.info("drain_undone")
            self._keeper.resume()
        return {"drained": False, "changed": was}

    async def _mark(self, held: Lease | None) -> None:
        """Before the release: a daemon that ends in between must not come back with a lease. Raises HostError."""
        directory = self._state_dir
        drained = Drained(held.key if held is not None else None, self._clock.wall())
        await in_time(
            directory / drain_file.FILE_NAME,
            lambda: drain_file.mark(directory, drained),
            undo=lambda: drain_file.clear(directory),
        )

    async def _unmark(self) -> None:
        """Raises HostError."""
        directory = self._state_dir
        await in_time(directory / drain_file.FILE_NAME, lambda: drain_file.clear(directory))

    def _given_back(self, held: Lease | None) -> dict[str, Any]:
        """Return the subnet that was given back; `reservation`: it stays this host's."""
        drained = drain_file.load(self._state_dir)
        key = held.key if held is not None else drained.key if drained is not None else None
        return {
            "reservation": held is not None and held.is_reservation,
            "subnet": str(key.subnet) if key is not None and key.subnet is not None else None,
            "subnet6": str(key.subnet6) if key is not None and key.subnet6 is not None else None,
        }
