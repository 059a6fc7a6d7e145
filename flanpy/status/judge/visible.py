"""Time-to-visible: what people and machines are shown turns bad only after it was bad for its grace, so nothing flaps.

Pure; time is given. A condition that readiness depends on has no grace: what is said of readiness is said at once.
Clearing is shown at once, but for those that have a calm of their own. What is bad from the start is shown at once,
and so is a trouble that takes another's place: only the step from well to bad has to last.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flanpy.model.condition import Condition, ConditionType, Status

_C = ConditionType

GRACE_S: Mapping[ConditionType, float] = MappingProxyType(
    {
        _C.DATASTORE_REACHABLE: 2.0,  # a leader that moves, a member that restarts
        _C.FIREWALL_READY: 2.0,  # a lock that somebody holds
        _C.DOCKER_CONSISTENT: 3.0,  # a dockerd that starts shows its networks one by one
        _C.PEERS_REACHABLE: 5.0,  # the probes have waited for several rounds already
        _C.SUBNETS_AVAILABLE: 2.0,  # a lease released and one taken
        _C.NAMES_SERVED: 5.0,  # at boot Docker starts after us
        _C.HOST_TUNED: 5.0,
        _C.ADDRESSES_UNIQUE: 3.0,  # a container that moves is told of by both hosts for a moment
        _C.ENCRYPTED: 10.0,  # a peer that starts, or moves to another address
        _C.NETWORKS_READY: 15.0,  # Docker makes a new network some seconds after it is defined
    }
)

CALM_S: Mapping[ConditionType, float] = MappingProxyType(
    {
        _C.PEERS_REACHABLE: 5.0,  # a path that comes and goes
    }
)


@dataclass(frozen=True, slots=True)
class Memory:
    """The conditions shown, and the start (monotonic seconds) of each pending step to unhealthy or back."""

    shown: tuple[Condition, ...] = ()
    waiting: Mapping[ConditionType, float] = field(default_factory=lambda: MappingProxyType({}))


def settle(judged: Iterable[Condition], memory: Memory, now: float) -> Memory:
    """Choose the conditions to show at `now` (monotonic seconds) from those judged."""
    known = {condition.type: condition for condition in memory.shown}
    shown, waiting = [], {}
    for condition in judged:
        old = known.get(condition.type)
        began = memory.waiting.get(condition.type, now)
        if old is not None and now - began < _patience(old, condition):
            waiting[condition.type] = began
            shown.append(old)
        else:
            shown.append(condition)
    return Memory(tuple(shown), MappingProxyType(waiting))


def _patience(old: Condition, new: Condition) -> float:
    """Seconds for which the old judgement is still shown."""
    if old.healthy == new.healthy:
        return 0.0
    if new.healthy:
        return CALM_S.get(new.type, 0.0) if new.status is not Status.UNKNOWN else 0.0
    return GRACE_S.get(new.type, 0.0)
