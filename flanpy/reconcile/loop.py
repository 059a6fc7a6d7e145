"""The reconcile loop: the one task that writes to the kernel.

Inputs (network, own lease, leases, facts, "something moved") only replace a value and wake the loop. A pass reads the
kernel back if the observed objects are no longer trusted, asks the backend for the desired objects, decides with pure
code, applies, and remembers only the observed objects, the brake's hold and a backoff.

Any foreign change hastens a resync, but two resyncs are kept `HOLD_OFF` apart, so that a rival program that undoes our
work at once costs little.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from random import Random
from types import MappingProxyType
from typing import TypeVar

from flanpy.backend import choice
from flanpy.backend.host_objects import HostObjects
from flanpy.clock import Clock, set_within
from flanpy.errors import KernelError
from flanpy.kernel.port import Kernel, Moved
from flanpy.log import get_logger
from flanpy.model.border import EtcdAddress
from flanpy.model.cloud import CloudHere
from flanpy.model.facts import HostFacts
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.view import NamedView
from flanpy.model.objects import KernelObject, Key, Setting
from flanpy.model.offload import Corruption
from flanpy.model.ops import Objects, Scope
from flanpy.model.packet_filter import FilterFacts
from flanpy.model.revocation import Revocation
from flanpy.model.world import Claim, Former, Policy, Printed, World
from flanpy.outage import Transition
from flanpy.plan.admission import Admission, admit
from flanpy.plan.border import Guarded, guarded
from flanpy.plan.decision import Decision, decide
from flanpy.plan.desired import Planned, plan_from
from flanpy.plan.gates import Hold
from flanpy.plan.ownership import Observed, claim, split
from flanpy.plan.readmission import Judged, admit_from
from flanpy.plan.render import render
from flanpy.reconcile.backoff import Backoff
from flanpy.reconcile.outcome import Pass, added_ways, repairs_of, report
from flanpy.reconcile.pace import Pace
from flanpy.reconcile.tracking import track

log = get_logger()

HOLD_OFF = 0.1
"""Seconds between the starts of two resyncs."""

RELIST_DELAY = 5.0
"""Seconds that the brake gives the others to register again before it asks etcd for a second listing."""

THREAD_FROM = 500
"""Objects from which on pure work goes to a thread: 5 ms of it or more, while leases are kept and probes answered."""

T = TypeVar("T")


class ReconcileLoop:
    """Implements `kernel.port.MonitorSink`. Everything but `run` returns at once."""

    def __init__(
        self,
        kernel: Kernel,
        policy: Policy,
        *,
        clock: Clock,
        resync_interval: float,
        on_pass: Callable[[Pass], None],
        request_listing: Callable[[str], None],
        fit: Callable[[Policy, NetworkConfig], Policy] = lambda policy, _: policy,
        rng: Random | None = None,
    ) -> None:
        self._kernel = kernel
        self._clock = clock
        self._interval = resync_interval
        self._on_pass = on_pass
        self._request_listing = request_listing
        self._fit = fit
        self._rng = rng or Random()
        self._world = World(policy)
        self._observed = Observed()
        self._judged: Judged | None = None
        self._planned: Planned | None = None
        self._host_objects = HostObjects()
        self._settled = False
        self._untrusted = "start"
        self._read_links: frozenset[str] = frozenset()
        self._cleared: tuple[Guarded, ...] = ()
        self._wake = asyncio.Event()
        self._pace = Pace()
        self._backoff = Backoff(rng=self._rng)
        self._outage = Transition()
        self._hold: Hold | None = None
        self._began: float | None = None
        self._passes = 0
        self._resynced_at = float("-inf")
        self._resync_due = float("inf")
        self._retry_due = float("inf")
        self._relist_due = float("inf")

    # Inputs

    def network_changed(self, network: NetworkConfig | None, former: Former | None = None) -> None:
        policy = self._world.policy
        for config in (former.network if former is not None else None, network):
            if config is not None:
                policy = self._fit(policy, config)
        self._take(replace(self._world, network=network, former=former, policy=policy))

    def policy_changed(self, policy: Policy) -> None:
        self._take(replace(self._world, policy=policy))

    def own_changed(self, own: Lease | None, *, confirmed: bool) -> None:
        self._take(replace(self._world, own=own, own_confirmed=confirmed))

    def view_changed(self, view: LeaseView) -> None:
        self._take(replace(self._world, view=view))

    def facts_changed(self, facts: HostFacts) -> None:
        self._take(replace(self._world, facts=facts))

    def printed_changed(self, printed: Printed) -> None:
        self._distrust("command")  # what other commands did may have gone with what this one made again
        self._take(replace(self._world, printed=printed))

    def etcd_moved(self, addresses: tuple[EtcdAddress, ...]) -> None:
        """Take the addresses of etcd's endpoints, which no route of ours may lead away from."""
        self._take(replace(self._world, etcd=addresses))

    def withheld_changed(self, withheld: frozenset[Claim]) -> None:
        """Take the leases that get no route, because etcd was lost when they had one."""
        self._take(replace(self._world, withheld=withheld))

    def docker_changed(self, *, waits: bool) -> None:
        """Take whether Docker waits for the host to forward before it makes a bridge."""
        if waits is not self._world.docker_waits:
            self._take(replace(self._world, docker_waits=waits))

    def clouds_changed(self, here: tuple[CloudHere, ...]) -> None:
        if here != self._world.clouds:
            self._take(replace(self._world, clouds=here))

    def named_changed(self, named: NamedView) -> None:
        """Take the named networks that this host is on."""
        if named != self._world.named:
            self._take(replace(self._world, named=named))

    def revoked_changed(self, revoked: tuple[Revocation, ...]) -> None:
        """Take the hosts that an operator shut out."""
        self._take(replace(self._world, revoked=revoked))

    def filter_changed(self, facts: FilterFacts) -> None:
        self._take(replace(self._world, filter=facts))

    def look_again(self, reason: str) -> None:
        """Read everything back before the next pass: a command of root's may have taken away what we put."""
        self._distrust(reason)
        self._wake.set()

    def corruption_changed(self, corruption: Corruption | None) -> None:
        self._take(replace(self._world, corruption=corruption))

    def kernel_moved(self, moved: Moved) -> None:
        self._distrust(moved.value)
        self._wake.set()

    def set_interval(self, seconds: float) -> None:
        """Change the time between two periodic resyncs, from now on."""
        self._interval = seconds
        self._resync_due = min(self._resync_due, self._clock.monotonic() + seconds)
        self._wake.set()

    @property
    def passing_for(self) -> float:
        """Return the seconds that the pass under way has taken, 0 between passes."""
        return self._clock.monotonic() - self._began if self._began is not None else 0.0

    @property
    def world(self) -> World:
        return self._world

    @property
    def observed(self) -> Observed:
        """Return the observed objects, for reading only; this loop owns them."""
        return self._observed

    # Passes

    async def run(self) -> None:
        """Reconcile until cancelled."""
        while True:
            await set_within(self._wake, self._clock, self._seconds_to_next())
            if self._untrusted:
                # Others' changes come in bunches: let the bunch end before it is read back.
                await self._clock.sleep(max(0.0, self._resynced_at + HOLD_OFF - self._clock.monotonic()))
            if pause := self._pace.pause(self._clock.monotonic()):
                await self._clock.sleep(pause)
            began = self._clock.monotonic()
            await self.run_pass()
            ended = self._clock.monotonic()
            self._pace.ended(ended, took=ended - began)

    async def run_pass(self) -> Pass:
        """Run one pass: read back if needed, decide, apply, publish."""
        started = self._clock.monotonic()
        self._wake.clear()
        self._note_due(started)
        self._passes += 1
        self._began = started
        try:
            outcome = await self._attempt()
        finally:
            self._began = None
        outcome = replace(outcome, took=self._clock.monotonic() - started)
        self._schedule(outcome)
        report(outcome)
        self._on_pass(outcome)
        return outcome

    async def preview(self) -> Decision:
        """Return the decision of a pass now, from a fresh read-back that leaves the loop's memory unchanged."""
        world = self._world
        admission = admit(world)
        desired = choice.plan(world, admission.peers)
        objects = await self._kernel.read_back(_scope(world, (desired or {}).values()))
        observed = claim(split(objects), before=self._observed.owned, desired=desired or {})
        return decide(world, desired, observed, held=self._hold)

    async def _attempt(self) -> Pass:
        world = self._world
        self._judged = await self._beside(partial(admit_from, self._judged, world), self._news(world.view))
        admission = self._judged.admission
        planned = await self._plan(world, admission)
        desired = planned.objects if planned is not None else None
        changed = planned.changed if planned is not None and self._settled else None
        self._settled = False
        believed: Mapping[Key, KernelObject] | None = None
        scope = _scope(world, planned.fixed if planned is not None else ())
        if scope.links != self._read_links:
            self._distrust("scope")
        # Before anything can be planned there is nothing to compare with.
        reason = self._untrusted if desired is not None else ""
        try:
            if desired is None:
                await self._look_for_stolen_ways(world, scope)
            if reason:
                believed, changed = self._observed.owned, None
                await self._resync(scope, desired or {})
            whole = len(desired or ()) + len(self._observed.owned)
            weight = len(changed) if changed is not None else whole
            judge = partial(decide, world, desired, self._observed, held=self._hold, changed=changed)
            decision = await self._beside(judge, weight)
            failures = await self._kernel.apply(decision.ops) if decision.ops else ()
        except KernelError as error:
            self._distrust("kernel_error")
            return Pass(self._passes, world, admission, Decision(), resync=reason, error=str(error))
        note = partial(track, self._observed, decision.ops, failures)
        await self._beside(note, len(decision.ops))
        self._settled = decision.settles and not failures
        self._set_hold(decision.hold)
        repairs = repairs_of(decision.ops, failures, believed) if believed else {}
        unreached = tuple(planned.unreached.values()) if planned is not None else ()
        return Pass(
            number=self._passes,
            world=world,
            admission=admission,
            decision=decision,
            unreached=unreached,
            added=added_ways(decision.ops, failures, believed or {}),
            failures=failures,
            resync=reason,
            repairs=MappingProxyType(repairs),
        )

    async def _look_for_stolen_ways(self, world: World, scope: Scope) -> None:
        """Read the kernel before anything could be planned: routes from before a restart may lead away from etcd."""
        borders = guarded(world)
        if self._resynced_at == float("-inf") and borders != self._cleared:
            self._cleared = borders
            objects = await self._kernel.read_back(scope)
            self._observed = claim(split(objects), before=self._observed.owned, desired={})

    async def _resync(self, scope: Scope, desired: Objects) -> None:
        self._untrusted = ""  # before reading: what moves while we read must be read again
        now = self._clock.monotonic()
        self._resynced_at = now
        self._resync_due = now + self._interval * self._rng.uniform(0.9, 1.1)
        objects = await self._kernel.read_back(scope)
        self._read_links = scope.links
        before = self._observed.owned

        def sorted_out() -> Observed:
            return claim(split(objects), before=before, desired=desired)

        self._observed = await self._beside(sorted_out, len(objects))

    async def _plan(self, world: World, admission: Admission) -> Planned | None:
        """Plan from the last pass, from which no later pass may then be planned."""
        previous, self._planned = self._planned, None
        network, planner = world.network, choice.planner(world)
        if network is None or planner is None:
            return None
        settings = self._host_objects.of(world)
        weight = len(admission.peers)
        if previous is not None and previous.planner == planner:
            weight = abs(weight - len(previous.groups))
        self._planned = await self._beside(
            partial(plan_from, previous, planner, settings, admission.peers), weight
        )
        return self._planned

    def _news(self, view: LeaseView) -> int:
        """Estimate the number of leases that the last pass did not see."""
        return abs(len(view.leases) - (len(self._judged.leases) if self._judged is not None else 0))

    @staticmethod
    async def _beside(work: Callable[[], T], weight: int) -> T:
        """Run pure work on this many objects; in a worker thread if it would block the event loop for too long."""
        return await asyncio.to_thread(work) if weight > THREAD_FROM else work()

    # When to run again

    def _take(self, world: World) -> None:
        self._world = world
        self._wake.set()

    def _distrust(self, reason: str) -> None:
        self._untrusted = self._untrusted or reason

    def _seconds_to_next(self) -> float:
        due = min(self._resync_due, self._retry_due, self._relist_due)
        return max(0.0, min(due - self._clock.monotonic(), 3600.0))

    def _note_due(self, now: float) -> None:
        if now >= self._resync_due:
            # A read-back sets it again; while there is nothing to compare with, none comes.
            self._resync_due = float("inf")
            self._distrust("timer")
        if now >= self._relist_due:
            self._relist_due = float("inf")
            self._request_listing("brake")

    def _set_hold(self, hold: Hold | None) -> None:
        if hold is not None and self._hold is None:
            self._relist_due = self._clock.monotonic() + RELIST_DELAY
            log.warning("mass_delete_held", count=hold.peers, peers=hold.present)
        elif hold is None and self._hold is not None:
            self._relist_due = float("inf")
            log.info("mass_delete_released", count=self._hold.peers)
        elif hold is not None and self._relist_due == float("inf"):
            self._relist_due = self._clock.monotonic() + RELIST_DELAY
        self._hold = hold

    def _schedule(self, outcome: Pass) -> None:
        if outcome.failures or outcome.error:
            self._distrust("failure")
            self._retry_due = self._clock.monotonic() + self._backoff.next_delay()
        else:
            self._retry_due = float("inf")
            self._backoff.reset()
        self._log_outage(outcome)

    def _log_outage(self, outcome: Pass) -> None:
        now = self._clock.monotonic()
        if outcome.failures or outcome.error:
            error = outcome.error or str(outcome.failures[0].error)
            count = max(1, len(outcome.failures))
            if self._outage.failed(now, reason=error, count=count):
                op = render(outcome.failures[0].op) if outcome.failures else None
                log.warning(
                    "kernel_write_failed" if op else "kernel_read_failed", error=error, op=op, count=count
                )
        elif ended := self._outage.succeeded(now):
            log.info("kernel_recovered", outage=round(ended.seconds, 3), count=ended.count)


def _scope(world: World, wanted: Iterable[KernelObject]) -> Scope:
    return Scope(choice.links(world), tuple(obj for obj in wanted if isinstance(obj, Setting)))
