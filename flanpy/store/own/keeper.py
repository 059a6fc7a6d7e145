"""The keeper of our own lease: a small shell that carries out the decisions of `lease_step.next_step`.

Goes in: the network config and record we want (`want`), the lease view (`observe`), the lease from disk. Comes out:
`OwnLeaseState` by callback, and by another the lease for the disk. Decides on the watch's view, but writes only
on a listing of its own made just before; after any error it lists again first. Errors of the store never leave it: it
waits, tries again, and logs the first and the end of a run of failures. Must not touch the kernel or the disk.

Owns the times to look, list and decide. The state is in `holding`; acquiring, renewing and giving back take several
requests each, and have modules of their own.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import assert_never

from flanpy.clock import Clock
from flanpy.errors import LeaseGone, StoreError
from flanpy.log import get_logger
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.plan.border import Guarded
from flanpy.store.lease_view import fold
from flanpy.store.own.acquisition import Acquisition
from flanpy.store.own.alarm import AT_ONCE, Alarm
from flanpy.store.own.holding import Holding
from flanpy.store.own.lease_retries import LeaseRetries
from flanpy.store.own.lease_step import Acquire, Drop, Keep, Renew, Rewrite, Step, Wait, Yield, next_step
from flanpy.store.own.lease_writer import LeaseTable, LeaseWriter
from flanpy.store.own.own_lease import LeaseTerms, OwnLeaseState, StoredLease, WantedLease
from flanpy.store.own.release import give_back
from flanpy.store.own.renewal import Renewal
from flanpy.store.schema import subnets_prefix

log = get_logger()

QUIET = 1.0
"""Seconds between two looks at a view that changed elsewhere than at our key."""
_CROWDED = 0.05
"""The same while we hold no lease."""


class LeaseKeeper:
    """Keeps one lease in one network. `run` is a root task; all other methods may be called at any time."""

    def __init__(
        self,
        store: LeaseTable,
        prefix: str,
        *,
        clock: Clock,
        rng: Random,
        on_change: Callable[[OwnLeaseState], None],
        remember: Callable[[Lease | None], None] = lambda _lease: None,
        terms: LeaseTerms | None = None,
    ) -> None:
        """`prefix` is the network's (`/coreos.com/network`). `remember` gets the lease that the disk should hold."""
        terms = terms or LeaseTerms()
        self._store = store
        self._prefix = subnets_prefix(prefix)
        self._clock = clock
        self._rng = rng
        self._remember = remember
        self._writer = LeaseWriter(store, self._prefix, ttl=terms.ttl)
        self._holding = Holding(
            terms, clock=clock, on_change=on_change, remember=remember, abandon=self._writer.abandon
        )
        self._retries = LeaseRetries(clock, rng)
        self._acquisition = Acquisition(self._holding, self._writer, self._prefix, rng=rng)
        self._renewal = Renewal(self._holding, store, self._writer, clock=clock, retries=self._retries)
        self._wanted: WantedLease | None = None
        self._watched = 0  # listings in the last view that the watch gave
        self._released = False
        self._alarm = Alarm(clock)
        self._at_work = asyncio.Lock()
        self._offline_at = math.inf

    @property
    def state(self) -> OwnLeaseState:
        """Return the state published last."""
        return self._holding.state

    def recall(self, stored: StoredLease | None, *, previous: SubnetKey | None = None) -> None:
        """Take the lease on disk, and the subnet in an old subnet.env as a mere preference. Call it before `run`."""
        if stored is not None:
            self._offline_at = self._clock.monotonic() + self._holding.terms.offline_after
        self._holding.recall(stored, previous)

    def want(self, network: NetworkConfig, record: LeaseRecord, borders: tuple[Guarded, ...] = ()) -> None:
        """Set the network and record of the lease, and the ranges that it must not hold (see `plan.border`).

        A changed record is rewritten in place.
        """
        wanted = WantedLease(network, record, borders)
        if wanted != self._wanted:
            self._wanted = wanted
            self._holding.own = replace(self._holding.own, record=record, borders=borders)
            self._alarm.ring(urgent=True)

    def use_margin(self, seconds: float) -> None:
        """Renew by another margin from now on (the settings were reloaded)."""
        if self._holding.use_margin(seconds):
            self._alarm.ring(urgent=True)

    def observe(self, view: LeaseView) -> None:
        """Take the watch's newest view. One that lags behind our own listing or write is left out."""
        if view.stale or not view.in_sync:
            return
        holding = self._holding
        relisted = view.listings != self._watched
        if not relisted and view.revision < holding.view.revision:
            return
        self._watched = view.listings
        holding.view = view
        self._alarm.ring(urgent=holding.confirmed and holding.touched)

    async def run(self) -> None:
        """Keep the lease until cancelled."""
        while True:
            async with self._at_work:
                pause = await self._turn()
            await self._rest(pause)

    async def turn(self) -> float:
        """Carry out one decision; return the seconds until the next is due. `run` is this in a loop."""
        async with self._at_work:
            return await self._turn()

    async def release(self) -> bool:
        """Give the lease back (drain): delete its key if it is ours and no reservation. Raises StoreError.

        Report whether a key was deleted; a reservation stays, but loses this host's addresses. The keeper then holds
        nothing and takes nothing until `resume`.
        """
        async with self._at_work:
            self._released = True
            deleted = await give_back(self._holding, self._writer, self._list)
            self._remember(None)
            held = self._holding.held
            self.stay_out(previous=held.key if held is not None else None)
            return deleted

    def stay_out(self, *, previous: SubnetKey | None = None) -> None:
        """Hold nothing and take nothing until `resume`, which will prefer `previous`."""
        self._released = True
        self._offline_at = math.inf
        self._holding.let_go(previous)

    def resume(self) -> None:
        """Take part again after `release`, whether it succeeded or not."""
        if self._released:
            self._released = False
            self._holding.unsure = True
            self._holding.publish(waiting="", drained=False)
            self._alarm.ring(urgent=True)

    async def _rest(self, pause: float) -> None:
        if self._acquisition.is_breath(pause):
            # The news are the others' leases: who let them cut the pause short would run into the next one.
            await self._clock.sleep(pause)
            return
        offline = max(self._offline_at - self._clock.monotonic(), AT_ONCE)
        await self._alarm.rest(min(pause, offline), quiet=QUIET if self._holding.confirmed else _CROWDED)

    async def _turn(self) -> float:
        try:
            pause = await self._step()
        except StoreError as error:
            return self._failed(error)
        self._retries.succeeded(sure=not self._holding.unsure)
        if self.state.last_error:
            self._holding.publish(last_error="")
        return pause

    def _failed(self, error: StoreError) -> float:
        """Note that our knowledge is no longer certain; the lease and the data plane stay as they are."""
        self._holding.unsure = True
        delay = self._retries.failed(error)
        if self._clock.monotonic() >= self._offline_at:
            self._boot_from_disk()
        self._holding.publish(last_error=str(error), missing=self._holding.missing)
        return delay

    def _boot_from_disk(self) -> None:
        self._offline_at = math.inf
        self._holding.stand_on_disk()

    async def _step(self) -> float:
        wanted, holding = self._wanted, self._holding
        if wanted is None or self._released or not (holding.view.in_sync or holding.unsure):
            return self._wait_for_news()
        listed = holding.unsure
        if listed:
            await self._list()
        step = self._decided(wanted)
        if not listed and self._is_grave(step):
            await self._list()
            step = self._decided(wanted)
        holding.unsure = False
        pause = await self._carry_out(step, wanted)
        self._offline_at = math.inf
        return pause

    def _is_grave(self, step: Step) -> bool:
        """Report whether a listing of our own must confirm the step before it is taken: the watch's view may lag."""
        if isinstance(step, Yield):
            return step.message != self.state.conflict
        return isinstance(step, Acquire | Rewrite | Drop)

    def _wait_for_news(self) -> float:
        now = self._clock.monotonic()
        if now >= self._offline_at:
            self._boot_from_disk()
        return self._offline_at - now if self._offline_at < math.inf else math.inf

    def _decided(self, wanted: WantedLease) -> Step:
        holding = self._holding
        return next_step(
            holding.own, holding.view, self._clock.monotonic(), network=wanted.network, rng=self._rng
        )

    async def _list(self) -> None:
        snapshot = await self._store.list(self._prefix)
        self._holding.view = fold(self._holding.view, snapshot, self._prefix)

    async def _carry_out(self, step: Step, wanted: WantedLease) -> float:
        match step:
            case Acquire():
                return await self._acquisition.acquire(step, wanted)
            case Rewrite():
                return await self._rewrite(step)
            case Drop(leases):
                return await self._drop(leases)
            case Renew(lease):
                return await self._renewal.renew(lease)
            case Keep(lease, until):
                return self._keep(step, until, lease)
            case Yield():
                self._holding.show(conflict=step.message, waiting="")
                self._holding.publish(yielded=True, missing="")
                return math.inf
            case Wait(message):
                self._holding.show(waiting=message)
                self._holding.publish(missing=self._holding.missing)
                return math.inf
            case _:
                assert_never(step)

    async def _rewrite(self, step: Rewrite) -> float:
        try:
            lease = await self._writer.rewrite(step.lease, step.record)
            granted = False
        except LeaseGone:
            # The writer that overwrote the value detached the key from its etcd lease, which then ended.
            lease = await self._writer.rebind(replace(step.lease, record=step.record))
            granted = True
        if lease is None:
            self._holding.unsure = True
            return AT_ONCE
        self._holding.wrote(lease, granted=granted)
        log.info("lease_rewritten", subnet=lease.key, reason=step.why.value)
        return AT_ONCE

    async def _drop(self, leases: tuple[Lease, ...]) -> float:
        for lease in leases:
            await self._writer.delete(lease)
            log.warning("lease_dropped", subnet=lease.key, reason="we hold another")
        self._holding.unsure = True
        return AT_ONCE

    def _keep(self, step: Keep, until: float, lease: Lease | None) -> float:
        holding = self._holding
        if lease is None or not holding.view.in_sync:
            return math.inf
        if lease != holding.held or not holding.confirmed:
            holding.hold(lease, self.state.expires_at)
        holding.show(restart_needed=step.restart_needed, conflict=step.conflict, waiting="")
        holding.publish(yielded=False, missing="")
        return until - self._clock.monotonic()
