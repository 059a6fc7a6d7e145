"""The keeper of our own lease: a small shell that carries out what `lease_step.next_step` decides.

Goes in: the network config and record we want (`want`), the lease view (`observe`), the lease from disk. Comes out:
`OwnLeaseState` by callback, and by another what the disk should remember. Decides on the watch's view, but writes only
on a listing of its own made just before; after any error it lists again first. Errors of the store never leave it: it
waits, tries again, and logs the first and the end of a run of failures. Must not touch the kernel or the disk.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import assert_never

from flanpy.clock import Clock
from flanpy.errors import LeaseGone, StoreError
from flanpy.log import Transition, get_logger
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.model.network import NetworkConfig
from flanpy.store.alarm import Alarm
from flanpy.store.lease_step import (
    Acquire,
    Drop,
    Keep,
    OwnState,
    Renew,
    Rewrite,
    Step,
    Wait,
    Yield,
    duplicate_public_ip,
    next_step,
)
from flanpy.store.lease_view import fold
from flanpy.store.lease_writer import LeaseTable, LeaseWriter
from flanpy.store.overlap_guard import is_narrow, overlap_guard
from flanpy.store.own_lease import LeaseSource, LeaseTerms, OwnLeaseState, StoredLease
from flanpy.store.schema import subnets_prefix

log = get_logger()

AT_ONCE = 0.0
QUIET = 1.0
"""Seconds between two looks at a view that changed elsewhere than at our key."""
_CROWDED = 0.05
"""The same while we hold no lease."""
_FIRST_DELAY, _LONGEST_DELAY = 0.25, 30.0
_TRIES_PER_LISTING = 8
_RACE_DELAY, _LONGEST_RACE_DELAY = 0.01, 4.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What our lease should be: in this network, saying this."""

    network: NetworkConfig
    record: LeaseRecord


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
        """`prefix` is the network's (`/coreos.com/network`). `remember` is told what the disk should hold."""
        self._store = store
        self._prefix = subnets_prefix(prefix)
        self._clock = clock
        self._rng = rng
        self._on_change = on_change
        self._remember = remember
        self._terms = terms or LeaseTerms()
        self._writer = LeaseWriter(store, self._prefix, ttl=self._terms.ttl)
        self._wanted: Wanted | None = None
        self._own = OwnState(record=LeaseRecord(None))
        self._view = LeaseView()
        self._watched = 0  # listings in the last view that the watch gave
        self._unsure = False
        self._released = False
        self._alarm = Alarm(clock)
        self._at_work = asyncio.Lock()
        self._state = OwnLeaseState()
        self._outage = Transition()
        self._delay = _FIRST_DELAY
        self._losses = 0
        self._offline_at = math.inf

    @property
    def state(self) -> OwnLeaseState:
        """What was published last."""
        return self._state

    def recall(self, stored: StoredLease | None, *, previous: SubnetKey | None = None) -> None:
        """Before `run`: what the disk remembers, and the subnet in an old subnet.env as a mere preference."""
        self._own = replace(self._own, previous=previous)
        if stored is None:
            return
        self._own = replace(self._own, held=stored.lease, in_use=stored.in_use)
        self._offline_at = self._clock.monotonic() + self._terms.offline_after
        if stored.in_use:
            self._publish(lease=stored.lease, source=LeaseSource.DISK)

    def want(self, network: NetworkConfig, record: LeaseRecord) -> None:
        """Say which network and record the lease is for; a changed record is rewritten in place."""
        wanted = Wanted(network, record)
        if wanted != self._wanted:
            self._wanted = wanted
            self._own = replace(self._own, record=record)
            self._alarm.ring(urgent=True)

    def use_margin(self, seconds: float) -> None:
        """Renew by another margin from now on (the settings were reloaded)."""
        self._terms = replace(self._terms, margin=seconds)
        now, expires = self._clock.monotonic(), self._state.expires_at
        if expires is not None:
            due = now + self._terms.renew_after(max(expires - now, 0.0))
            self._own = replace(self._own, renew_at=min(self._own.renew_at, due))
            self._alarm.ring(urgent=True)

    def observe(self, view: LeaseView) -> None:
        """Take the watch's newest view. One that lags behind our own listing or write is left out."""
        if view.stale or not view.in_sync:
            return
        relisted = view.listings != self._watched
        if not relisted and view.revision < self._view.revision:
            return
        self._watched = view.listings
        self._view = view
        self._alarm.ring(urgent=self._holds() and self._touched())

    async def run(self) -> None:
        """Keep the lease, for ever; ends only by cancellation."""
        while True:
            async with self._at_work:
                pause = await self._turn()
            await self._rest(pause)

    async def turn(self) -> float:
        """One decision, carried out; seconds until the next is due. `run` is this in a loop."""
        async with self._at_work:
            return await self._turn()

    async def release(self) -> bool:
        """Give the lease back (drain): delete its key if it is ours and no reservation. Raises StoreError.

        Whether a key was deleted; a reservation stays, but no longer says how to reach this host. The keeper then
        holds nothing and takes nothing until `resume`.
        """
        async with self._at_work:
            self._released = True
            deleted = await self._delete_own()
            await self._writer.revoke_all()
            self._remember(None)
            self.stay_out(previous=self._own.held.key if self._own.held is not None else None)
            return deleted

    def stay_out(self, *, previous: SubnetKey | None = None) -> None:
        """Hold nothing and take nothing until `resume`, which will prefer `previous`."""
        self._released = True
        self._offline_at = math.inf
        known = previous or self._own.previous
        self._own = replace(self._own, held=None, in_use=False, settled=False, previous=known)
        self._publish(
            lease=None,
            source=LeaseSource.NONE,
            expires_at=None,
            conflict="",
            yielded=False,
            restart_needed="",
            waiting="drained",
            drained=True,
        )

    def resume(self) -> None:
        """Take part again after `release`, whether it succeeded or not."""
        if self._released:
            self._released = False
            self._unsure = True
            self._publish(waiting="", drained=False)
            self._alarm.ring(urgent=True)

    async def _rest(self, pause: float) -> None:
        if self._losses and pause <= _LONGEST_RACE_DELAY:
            # The news are the others' leases: who let them cut the pause short would run into the next one.
            await self._clock.sleep(pause)
            return
        offline = max(self._offline_at - self._clock.monotonic(), AT_ONCE)
        await self._alarm.rest(min(pause, offline), quiet=QUIET if self._holds() else _CROWDED)

    def _holds(self) -> bool:
        return self._own.settled and self._own.held is not None

    def _touched(self) -> bool:
        """Whether our own key, or what we want it to be, differs from what we hold."""
        held = self._own.held
        return held is None or self._view.leases.get(str(held.key)) != held or held.record != self._own.record

    async def _turn(self) -> float:
        try:
            pause = await self._step()
        except StoreError as error:
            return self._failed(error)
        outage = self._outage.succeeded(self._clock.monotonic())
        if outage is not None:
            log.info("lease_store_recovered", outage=outage.seconds, count=outage.count)
        if not self._unsure:
            self._delay = _FIRST_DELAY
        if self._state.last_error:
            self._publish(last_error="")
        return pause

    def _failed(self, error: StoreError) -> float:
        """Nothing that we know is sure now; the lease and the data plane stay as they are."""
        self._unsure = True
        now = self._clock.monotonic()
        if self._outage.failed(now, reason=type(error).__name__):
            log.warning("lease_store_failed", error=error, action="the lease is kept; tried again")
        if now >= self._offline_at:
            self._boot_from_disk()
        self._publish(last_error=str(error))
        delay, self._delay = self._delay, min(2 * self._delay, _LONGEST_DELAY)
        return delay * self._rng.uniform(0.8, 1.2)

    def _boot_from_disk(self) -> None:
        """etcd does not answer: the lease on disk is what there is. From now on the data plane stands on it."""
        self._offline_at = math.inf
        held = self._own.held
        if held is not None and not self._own.settled and not self._own.in_use:
            self._own = replace(self._own, in_use=True)
            self._publish(lease=held, source=LeaseSource.DISK)

    async def _step(self) -> float:
        wanted = self._wanted
        if wanted is None or self._released or not (self._view.in_sync or self._unsure):
            return self._wait_for_news()
        listed = self._unsure
        if listed:
            await self._list()
        step = self._decided(wanted)
        if not listed and self._is_grave(step):
            await self._list()
            step = self._decided(wanted)
        self._unsure = False
        pause = await self._carry_out(step, wanted)
        self._offline_at = math.inf
        return pause

    def _is_grave(self, step: Step) -> bool:
        """Whether to make sure by a listing of our own before acting: the watch's view may lag."""
        if isinstance(step, Yield):
            return step.message != self._state.conflict
        return isinstance(step, Acquire | Rewrite | Drop)

    def _wait_for_news(self) -> float:
        now = self._clock.monotonic()
        if now >= self._offline_at:
            self._boot_from_disk()
        return self._offline_at - now if self._offline_at < math.inf else math.inf

    def _decided(self, wanted: Wanted) -> Step:
        return next_step(
            self._own, self._view, self._clock.monotonic(), network=wanted.network, rng=self._rng
        )

    async def _list(self) -> None:
        snapshot = await self._store.list(self._prefix)
        self._view = fold(self._view, snapshot, self._prefix)

    async def _carry_out(self, step: Step, wanted: Wanted) -> float:
        match step:
            case Acquire():
                return await self._acquire(step, wanted)
            case Rewrite():
                return await self._rewrite(step)
            case Drop(leases):
                return await self._drop(leases)
            case Renew(lease):
                return await self._renew(lease)
            case Keep(lease, until):
                return self._keep(step, until, lease)
            case Yield():
                self._shown(conflict=step.message, waiting="")
                self._publish(yielded=True)
                return math.inf
            case Wait(message):
                self._shown(waiting=message)
                return math.inf
            case _:
                assert_never(step)

    async def _acquire(self, step: Acquire, wanted: Wanted) -> float:
        held = self._own.held
        await self._writer.revoke_loose(bound=0 if held is None else held.lease_id)
        narrow = is_narrow(step.candidates[0], wanted.network)
        for key in step.candidates[: _TRIES_PER_LISTING if narrow else 1]:
            guard = overlap_guard(self._prefix, key, wanted.network, self._view.revision)
            lease = await self._writer.create(key, wanted.record, guard=guard, replaces=step.replaces)
            if lease is not None:
                self._losses = 0
                return self._acquired(lease, step)
            self._losses += 1
            if step.replaces is not None:
                break
        self._unsure = True
        # Near free subnets are raced for one at a time; a pair is raced for by everybody who leases any pair, so that
        # the spread must grow with the crowd, which nobody can count: it doubles until somebody gets through.
        spread = _RACE_DELAY * (self._losses if narrow else 2.0 ** min(self._losses, 16))
        return self._rng.uniform(0, min(spread, _LONGEST_RACE_DELAY))

    def _acquired(self, lease: Lease, step: Acquire) -> float:
        held = self._own.held
        moved = (
            self._state.lease.key if self._state.lease is not None else held.key if held is not None else None
        )
        self._known(lease, granted=True)
        if moved is not None and moved != lease.key:
            self._publish(moved_from=moved)
        log.info(
            "lease_acquired",
            subnet=lease.key,
            reason=step.why.value,
            lease_id=lease.lease_id,
            attempt=self._losses,
        )
        return AT_ONCE

    async def _rewrite(self, step: Rewrite) -> float:
        try:
            lease = await self._writer.rewrite(step.lease, step.record)
            granted = False
        except LeaseGone:
            # Whoever overwrote the value detached the key from its etcd lease, which then ended.
            lease = await self._writer.rebind(replace(step.lease, record=step.record))
            granted = True
        if lease is None:
            self._unsure = True
            return AT_ONCE
        self._known(lease, granted=granted)
        log.info("lease_rewritten", subnet=lease.key, reason=step.why.value)
        return AT_ONCE

    def _known(self, lease: Lease, *, granted: bool) -> None:
        """etcd confirmed our lease, as we wrote it. The watch's view is not taken until it has caught up."""
        now = self._clock.monotonic()
        leases = {**self._view.leases, str(lease.key): lease}
        self._view = replace(self._view, leases=leases, revision=max(lease.mod_revision, self._view.revision))
        expires = now + self._terms.ttl if granted else self._state.expires_at
        self._hold(lease, expires)
        if granted:
            self._own = replace(self._own, renew_at=now + self._terms.renew_after(self._terms.ttl))

    def _hold(self, lease: Lease, expires_at: float | None) -> None:
        held = self._own.held
        if held is None or held.lease_id != lease.lease_id:
            self._own = replace(self._own, renew_at=-math.inf)
            self._writer.abandon(held.lease_id if held is not None else 0)
        if held != lease or not self._own.settled:
            self._remember(lease)
        self._own = replace(self._own, held=lease, in_use=True, settled=True)
        self._publish(
            lease=lease,
            source=LeaseSource.ETCD,
            expires_at=None if lease.is_reservation else expires_at,
            waiting="",
            conflict="",
            yielded=False,
        )

    async def _drop(self, leases: tuple[Lease, ...]) -> float:
        for lease in leases:
            await self._writer.delete(lease)
            log.warning("lease_dropped", subnet=lease.key, reason="we hold another")
        self._unsure = True
        return AT_ONCE

    async def _renew(self, lease: Lease) -> float:
        asked = self._clock.monotonic()
        try:
            ttl = await self._store.keep_alive(lease.lease_id)
        except LeaseGone:
            # Its keys went with it. The listing will show; the same subnet is then taken again.
            log.warning("lease_lost", subnet=lease.key, lease_id=lease.lease_id)
            self._unsure = True
            self._own = replace(self._own, renew_at=asked)
            delay, self._delay = self._delay, min(2 * self._delay, _LONGEST_DELAY)
            return delay if self._outage.failing else AT_ONCE
        adopted = self._own.renew_at == -math.inf
        self._own = replace(self._own, renew_at=asked + self._terms.renew_after(ttl))
        self._hold_renewed(lease, asked + ttl)
        if adopted and ttl != self._terms.ttl:
            return await self._rebind(lease)
        await self._writer.revoke_loose(bound=lease.lease_id)
        return AT_ONCE

    def _hold_renewed(self, lease: Lease, expires_at: float) -> None:
        renew_at = self._own.renew_at
        self._hold(lease, expires_at)
        self._own = replace(self._own, renew_at=renew_at)

    async def _rebind(self, lease: Lease) -> float:
        """A lease from before was granted for another TTL: bind the key to one of ours."""
        bound = await self._writer.rebind(lease)
        if bound is None:
            self._unsure = True
            return AT_ONCE
        self._known(bound, granted=True)
        return AT_ONCE

    def _keep(self, step: Keep, until: float, lease: Lease | None) -> float:
        if lease is None or not self._view.in_sync:
            return math.inf
        if lease != self._own.held or not self._own.settled:
            self._hold(lease, self._state.expires_at)
        self._shown(restart_needed=step.restart_needed, conflict=step.conflict, waiting="")
        self._publish(yielded=False)
        return until - self._clock.monotonic()

    def _shown(self, **lines: str) -> None:
        wanted = self._wanted
        duplicate = "" if wanted is None else duplicate_public_ip(self._own, self._view)
        for name, line in {**lines, "duplicate_ip": duplicate}.items():
            if line and line != getattr(self._state, name):
                log.warning("lease_trouble_found", kind=name, reason=line)
        self._publish(duplicate_ip=duplicate, **lines)

    def _publish(self, **changes: object) -> None:
        state = replace(self._state, **changes)  # type: ignore[arg-type]
        if state != self._state:
            self._state = state
            self._on_change(state)

    async def _delete_own(self) -> bool:
        held = self._own.held
        for _ in range(3):
            if held is None:
                return False
            if held.is_reservation:
                bare = replace(
                    held.record, backend_type="", backend_data=None, backend_data6=None, fast_path=False
                )
                if await self._writer.rewrite(held, bare) is not None:
                    return False
            elif await self._writer.delete(held):
                return True
            await self._list()
            found = self._view.leases.get(str(held.key))
            held = found if found is not None and found.record.node_id == held.record.node_id else None
        return False
