"""Reconcile passes and inputs to judge, made from the worlds of tests/states.py."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from flanpy.backend import choice
from flanpy.errors import KernelError
from flanpy.kernel.port import OpFailure
from flanpy.model.objects import KernelObject, VxlanLink
from flanpy.model.ops import Objects, Put
from flanpy.model.world import World
from flanpy.plan.admission import admit
from flanpy.plan.decision import Decision
from flanpy.plan.diff import Conflict, Difference
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs, OwnSource, OwnStatus, StoreStatus
from tests.states import V4, crowd, lease

NOW = 1_700_000_000.0
OWN = lease(0)
TWO_PEERS = crowd(2)


def desired(world: World = TWO_PEERS) -> Objects:
    """Return the objects that the world's backend wants."""
    assert world.network is not None
    wanted = choice.plan(world, admit(world).peers)
    assert wanted is not None
    return wanted


def passed(world: World = TWO_PEERS, **more: Any) -> Pass:
    """A pass after which all stands, but for what `more` says of the decision or the pass."""
    of_pass = {
        name: more.pop(name) for name in ("failures", "error", "resync", "repairs", "took") if name in more
    }
    if "desired" not in more:
        more["desired"] = desired(world)
    decision, planner = Decision(**more), choice.planner(world)
    unreached = tuple(peer for peer in admit(world).peers if planner is not None and planner.unreached(peer))
    return Pass(1, world, admit(world), decision, unreached, **of_pass)


def refused(obj: KernelObject, code: int = errno.ENOMEM) -> OpFailure:
    return OpFailure(Put(obj), KernelError(f"cannot make {obj.key}", code))


def conflicting(*pairs: tuple[KernelObject, KernelObject]) -> Difference:
    """Foreign objects (second) on the keys of wanted ones (first)."""
    return Difference(conflicts=tuple(Conflict(wanted, found) for wanted, found in pairs))


def link(world: World = TWO_PEERS) -> VxlanLink:
    return next(obj for obj in desired(world).values() if isinstance(obj, VxlanLink))


WELL = Inputs(
    network=V4,
    own=OwnStatus(lease=OWN, source=OwnSource.ETCD, expires_at=NOW + 86_400),
    store=StoreStatus("http://192.0.2.1:2379", contacted=True, stale=False, version="3.5.30"),
    subnet_file="subnet.env: 10.50.10.0/24, MTU 1450",
    lease_file="/var/lib/flanpy: 10.50.10.0-24",
    listeners="/run/flanpy/flanpyd.sock",
    last=passed(),
)
"""Everything is as it should be."""


def own(**changes: Any) -> Inputs:
    """All is well but our lease."""
    return replace(WELL, own=replace(WELL.own, **changes))


def last(**more: Any) -> Inputs:
    """All is well but the last pass."""
    return replace(WELL, last=passed(**more))
