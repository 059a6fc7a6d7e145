"""The status board: gathers what the parts publish and holds the last snapshot, replaced whole.

Each `note_*` replaces one input; conditions, readiness and phase are judged again. Transitions are logged here and
become events, so that what the log, the events and `status` say cannot disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar, Unpack

from flanpy.clock import Clock
from flanpy.log import get_logger
from flanpy.model.condition import Condition
from flanpy.model.event import Event, EventKind, History
from flanpy.model.lease import LeaseView
from flanpy.model.network.network import NetworkConfig
from flanpy.model.ops import Delete, Op
from flanpy.reconcile.outcome import Pass
from flanpy.status.events import EventRing, Happening
from flanpy.status.happened import changed_conditions, of_conditions, of_inputs, of_pass, over
from flanpy.status.inputs import InputChanges, Inputs, Totals
from flanpy.status.judge.causes import in_order, root_causes
from flanpy.status.judge.conditions import Phase, is_ready, judge, phase_of
from flanpy.status.judge.visible import Memory, settle
from flanpy.store.own.allocation import Usage, usage

log = get_logger()

LEAST_JUMP = 1.0
"""Seconds by which the wall clock must be off before it is followed."""

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class StatusSnapshot:
    """All that can be said of this daemon at one moment.

    `conditions` are in order: unhealthy ones first, causes before what they explain.
    """

    inputs: Inputs = field(default_factory=Inputs)
    totals: Totals = field(default_factory=Totals)
    conditions: tuple[Condition, ...] = ()
    phase: Phase = Phase.STARTING
    ready: bool = False


class StatusBoard:
    """Owner of the snapshot. `on_change` is called after a change of phase, readiness or any condition, `on_waiting`
    when a condition begins to wait for its time to be shown: `judge_again` is to be called soon, until none waits.

    `events` is for reading only: what happened, as far back as it goes. `begin` takes in what an earlier run left, and
    tells the start as one event: the phases on the way to readiness are no news.
    """

    def __init__(
        self,
        clock: Clock,
        on_change: Callable[[StatusSnapshot], None] = lambda _: None,
        *,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._on_waiting = on_waiting
        self._pooled: tuple[NetworkConfig | None, LeaseView] | None = None
        self.events = EventRing()
        self._starting = False
        self._offset = clock.wall() - clock.monotonic()
        self._judged = judge(Inputs(), clock.wall())
        self._memory = Memory(self._judged)
        self.snapshot = StatusSnapshot(conditions=in_order(self._judged))

    def begin(self, history: History, *, version: str) -> None:
        """Tell of the start, after what an earlier run left; its spells end when it is known that they are over."""
        now = self._clock.wall()
        self.events.restore(history, epoch=f"{now:.6f}")
        self.events.forget(now)
        self.events.end([one for one in self.events.lasting() if one.kind is EventKind.PHASE_CHANGED], now)
        self.events.add([Happening(EventKind.STARTED, f"flanpyd {version}")], now)
        self._starting = True

    def note(self, **changes: Unpack[InputChanges]) -> None:
        """Replace inputs by name (see `Inputs`) and judge again."""
        self._follow_wall_clock()
        inputs = replace(self.snapshot.inputs, **changes)
        self._publish(inputs, self.snapshot.totals)

    def note_pass(self, outcome: Pass) -> None:
        """A reconcile pass ended."""
        self._follow_wall_clock()
        self.events.add(of_pass(outcome), self._clock.wall())
        self._publish(replace(self.snapshot.inputs, last=outcome), _add(self.snapshot.totals, outcome))

    @property
    def is_waiting(self) -> bool:
        """Report whether a condition waits for its time to be shown."""
        return bool(self._memory.waiting)

    def judge_again(self) -> None:
        """Judge again for changes by time alone, such as an expired lease, and recompute the pools if needed."""
        self._follow_wall_clock()
        self.events.forget(self._clock.wall())
        inputs = self.snapshot.inputs
        of = (inputs.last.world.network, inputs.last.world.view) if inputs.last is not None else None
        if of != self._pooled:
            self._pooled = of
            inputs = replace(inputs, pools=_pools(inputs))
        self._publish(inputs, self.snapshot.totals)

    def _follow_wall_clock(self) -> None:
        """A clock that was set has moved no lease: carry its end along, as time that passes is what it runs out by."""
        offset = self._clock.wall() - self._clock.monotonic()
        moved = offset - self._offset
        if abs(moved) < LEAST_JUMP:
            return
        self._offset = offset
        inputs = self.snapshot.inputs
        if inputs.own.expires_at is not None:
            own = replace(inputs.own, expires_at=inputs.own.expires_at + moved)
            self.snapshot = replace(self.snapshot, inputs=replace(inputs, own=own))

    def _publish(self, inputs: Inputs, totals: Totals) -> None:
        before = self.snapshot
        self._judged = judge(inputs, self._clock.wall(), self._judged)
        was_waiting = self.is_waiting
        self._memory = settle(self._judged, self._memory, self._clock.monotonic())
        if self.is_waiting and not was_waiting:
            self._on_waiting()
        conditions = in_order(self._memory.shown)
        ready = is_ready(conditions)
        self.snapshot = StatusSnapshot(inputs, totals, conditions, phase_of(conditions, inputs), ready)
        now = self._clock.wall()
        self.events.end(self._over(), now)
        self.events.add(of_inputs(before.inputs, inputs), now)
        if _differs(before, self.snapshot):
            changed = tuple(changed_conditions(before.conditions, conditions))
            _log_changes(changed)
            self.events.add(of_conditions(changed), now)
            self._tell_phase(before.phase, self.snapshot.phase)
            self._on_change(self.snapshot)

    def _over(self) -> Iterator[Event]:
        """Yield the spells that are over by the present snapshot."""
        if lasting := self.events.lasting():
            snapshot = self.snapshot
            yield from over(lasting, snapshot.inputs, snapshot.conditions, snapshot.phase)

    def _tell_phase(self, old: Phase, new: Phase) -> None:
        now, started = self._clock.wall(), False
        if old is not new:
            log.info("phase_changed", previous=old, phase=new)
        if self._starting and (self.snapshot.ready or new is Phase.DRAINED):
            self._starting, started = False, True
            self.events.end([one for one in self.events.lasting() if one.kind is EventKind.STARTED], now)
        folded = new is Phase.READY or (self._starting and new is not Phase.STOPPING)
        if folded or (old is new and not started):
            return
        why = root_causes(self.snapshot.conditions)
        text = ", ".join(f"{cause.type.value} {cause.reason}" for cause in why)
        happening = Happening(EventKind.PHASE_CHANGED, new.value, text, reason=why[0].reason if why else "")
        self.events.add([happening], now)


def _pools(inputs: Inputs) -> tuple[Usage | None, ...]:
    """Compute the network's usage; takes some milliseconds with thousands of leases."""
    last = inputs.last
    if last is None or last.world.network is None or not last.world.view.in_sync:
        return ()
    return usage(last.world.network, last.world.view)


def _differs(old: StatusSnapshot, new: StatusSnapshot) -> bool:
    return old.phase is not new.phase or old.ready != new.ready or old.conditions != new.conditions


def _log_changes(changed: Iterable[Condition]) -> None:
    for condition in changed:
        if condition.healthy:
            log.info("condition_cleared", condition=condition.type, reason=condition.reason)
        else:
            log.warning(
                "condition_raised",
                condition=condition.type,
                reason=condition.reason,
                error=condition.message,
                action=condition.cure or None,
            )


def _add(totals: Totals, outcome: Pass) -> Totals:
    verbs = Counter((str(op.obj.key[0]), _verb(op)) for op in outcome.decision.ops)
    refusals = Counter((str(failure.op.obj.key[0]), failure.error.errno) for failure in outcome.failures)
    reasons = {(kind, outcome.resync): count for kind, count in outcome.repairs.items()}
    resync = Counter([outcome.resync] if outcome.resync else [])
    return Totals(
        passes=totals.passes + 1,
        pass_took=totals.pass_took.with_one(outcome.took),
        ops=_sum(totals.ops, verbs),
        refusals=_sum(totals.refusals, refusals),
        repairs=_sum(totals.repairs, outcome.repairs),
        repairs_by_reason=_sum(totals.repairs_by_reason, reasons),
        resyncs=_sum(totals.resyncs, resync),
    )


def _sum(first: Mapping[K, int], second: Mapping[K, int]) -> Mapping[K, int]:
    if not second:
        return first
    return MappingProxyType({key: first.get(key, 0) + second.get(key, 0) for key in {**first, **second}})


def _verb(op: Op) -> str:
    if isinstance(op, Delete):
        return "delete"
    return "add" if op.previous is None else "replace"
