"""The pure pipeline over histories: an in-memory kernel that is as strict as the real one, and passes without a loop.

`Standing` refuses what Linux refuses (a create on a taken key, a change of what is not there, an object on a missing
or lowered link) and drops what Linux drops, so a plan in the wrong order fails here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from flanpy.backend import choice
from flanpy.errors import KernelError
from flanpy.kernel.port import OpFailure
from flanpy.model.objects import (
    HostSysctl,
    KernelObject,
    Key,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    OwnLink,
    Route,
    VxlanLink,
)
from flanpy.model.ops import Objects, Op, Put
from flanpy.model.world import World
from flanpy.plan.admission import admit
from flanpy.plan.decision import Decision, decide
from flanpy.plan.desired import Planned, plan_from
from flanpy.plan.gates import Hold
from flanpy.plan.host_settings import host_settings
from flanpy.plan.ownership import Observed, split
from flanpy.plan.readmission import Judged, admit_from
from flanpy.reconcile.tracking import track

SETTINGS = (LinkFeature, LinkSysctl, HostSysctl)


@dataclass
class Standing:
    """The objects that stand in a kernel; `others` are the links of the host that are none of ours."""

    objects: dict[Key, KernelObject] = field(default_factory=dict)
    others: frozenset[str] = frozenset({"eth0", "eth1"})

    @classmethod
    def of(cls, objects: Iterable[KernelObject]) -> Standing:
        return cls({obj.key: obj for obj in objects})

    def read_back(self) -> Objects:
        """Equal objects, but never the same ones."""
        return {key: replace(obj) for key, obj in self.objects.items()}

    def carry_out(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        failures = []
        for op in ops:
            code = self._put(op.obj, op.previous) if isinstance(op, Put) else self._delete(op.obj)
            if code:
                failures.append(OpFailure(op, KernelError(str(op), code)))
        return tuple(failures)

    def _put(self, obj: KernelObject, previous: KernelObject | None) -> int:
        found = self.objects.get(obj.key)
        if not isinstance(obj, (*SETTINGS, LinkUp)):
            if previous is None and found is not None:
                return errno.EEXIST
            if previous is not None and found is None:
                return errno.ENOENT
        return self._check(obj, found) or self._set(obj)

    def _check(self, obj: KernelObject, found: KernelObject | None) -> int:
        link = obj.home
        if link is not None and link not in self.others and ("link", link) not in self.objects:
            return errno.ENODEV
        if isinstance(obj, Route) and link not in self.others and ("up", obj.link) not in self.objects:
            return errno.ENETDOWN
        if isinstance(obj, VxlanLink) and isinstance(found, VxlanLink):
            same = {name: getattr(obj, name) for name in obj.in_place}
            return 0 if replace(found, **same) == obj else errno.EOPNOTSUPP
        return 0

    def _set(self, obj: KernelObject) -> int:
        self.objects[obj.key] = obj
        return 0

    def _delete(self, obj: KernelObject) -> int:
        if isinstance(obj, OwnLink):
            self._drop(one for one in self.objects.values() if one.home == obj.name)
        self.objects.pop(obj.key, None)
        return 0

    def _drop(self, doomed: Iterable[KernelObject]) -> None:
        for obj in list(doomed):
            del self.objects[obj.key]


def agree(standing: Objects, desired: Objects | None) -> bool:
    """Report whether everything desired stands; fail if anything else stands but settings, which never go."""
    surplus = {key: obj for key, obj in standing.items() if desired is None or desired.get(key) != obj}
    assert all(isinstance(obj, SETTINGS) and key not in (desired or {}) for key, obj in surplus.items()), (
        surplus
    )
    return {**(desired or {})}.keys() <= standing.keys()


def desired_of(world: World) -> Objects | None:
    """Return the objects that a world wants, planned from nothing."""
    if world.network is None:
        return None
    return choice.plan(world, admit(world).peers)


@dataclass
class Run:
    """Passes over a kernel, as the loop makes them; the quick way, checked at each step against the slow one."""

    standing: Standing = field(default_factory=Standing)
    observed: Observed = field(default_factory=Observed)
    hold: Hold | None = None
    judged: Judged | None = None
    planned: Planned | None = None
    settled: bool = False
    failures: list[OpFailure] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.read_back()

    def read_back(self) -> None:
        self.observed, self.settled = split(self.standing.read_back()), False

    def step(self, world: World) -> Decision:
        decision = self._decide(world)
        failures = self.standing.carry_out(decision.ops)
        track(self.observed, decision.ops, failures)
        self.settled = decision.settles and not failures
        self.hold = decision.hold
        self.failures += failures
        return decision

    def settle(self, world: World, passes: int = 3) -> Decision:
        """Steps until nothing is left to do, with a read-back between, as after a timer."""
        decision = self.step(world)
        for _ in range(passes):
            self.read_back()
            decision = self.step(world)
        return decision

    def _decide(self, world: World) -> Decision:
        self.judged = admit_from(self.judged, world)
        assert self.judged.admission == admit(world)
        self.planned, slow = self._plan(world), desired_of(world)
        desired = self.planned.objects if self.planned is not None else None
        assert desired == slow
        changed = self.planned.changed if self.planned is not None and self.settled else None
        quick = decide(world, desired, self.observed, held=self.hold, changed=changed)
        assert same(quick, decide(world, slow, self.observed, held=self.hold))
        return quick

    def _plan(self, world: World) -> Planned | None:
        if world.network is None or self.judged is None:
            return None
        planner = choice.planner(world)
        if planner is None:
            return None
        return plan_from(self.planned, planner, host_settings(world), self.judged.admission.peers)


def same(one: Decision, other: Decision) -> bool:
    """Equal but for the order of operations of one phase, which is free."""

    def shape(decision: Decision) -> object:
        difference = decision.difference
        return (
            decision.desired,
            decision.gate,
            decision.hold,
            [type(op).__name__ + str(int(op.obj.phase)) for op in decision.ops],
            {*decision.ops},
            {*difference.ops},
            {*difference.conflicts},
            difference.blocked,
        )

    return shape(one) == shape(other)
