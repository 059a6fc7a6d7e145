"""Events: what happened to this host's overlay, for the operator who asks later. A bounded ring, newest last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class EventKind(Enum):
    """What an event tells of. The value is what people and machines see."""

    CONDITION_RAISED = "condition_raised"
    CONDITION_CLEARED = "condition_cleared"
    PHASE_CHANGED = "phase_changed"
    REPAIRED = "repaired"
    PEER_JOINED = "peer_joined"
    PEER_LEFT = "peer_left"
    PEER_CHANGED = "peer_changed"
    PEER_UNREACHABLE = "peer_unreachable"
    PEER_REACHABLE = "peer_reachable"
    LEASE_CHANGED = "lease_changed"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is wall time in seconds, `what` names the thing (condition, object, peer), `why` is one line for people.

    `count`: how many alike were one after the other; `number` grows by one with each event, for readers that follow.
    """

    number: int
    at: float
    kind: EventKind
    what: str
    why: str = ""
    count: int = 1
