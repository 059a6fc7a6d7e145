"""Events: the history of this host's overlay, for later questions of the operator. A bounded ring, newest last."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

WHOLE: Final = "whole"
"""Stands among `Event.attributes` for an object that was made or removed as a whole."""


class EventKind(Enum):
    """The kind of an event. The value is what people and machines see."""

    CONDITION_RAISED = "condition_raised"
    """a condition turned bad, or its trouble became another."""
    CONDITION_CLEARED = "condition_cleared"
    """a condition is well again."""
    PHASE_CHANGED = "phase_changed"
    """the daemon is in another phase."""
    REPAIRED = "repaired"
    """something of ours was gone or changed and was put back, or something too many was removed."""
    PEER_JOINED = "peer_joined"
    """a host came."""
    PEER_LEFT = "peer_left"
    """a host's lease is gone."""
    PEER_CHANGED = "peer_changed"
    """a host's address, device or backend is another."""
    PEER_UNREACHABLE = "peer_unreachable"
    """probes do not reach a peer any more; why is what the evidence says."""
    PEER_REACHABLE = "peer_reachable"
    """probes reach it again."""
    LEASE_CHANGED = "lease_changed"
    """this host's subnet is another, or is ours no more."""
    RESYNC = "resync"
    """the kernel was read back because something was missed."""


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is wall time in seconds, `what` names the thing (condition, object, peer), `why` is one line for people.

    `count`: how many alike were one after the other; `number` grows by one with each event, for readers that follow.
    `attributes`: what a repair put right of objects of the kind `what`: names of settings, or attributes of a link;
    `WHOLE` for what was made or removed. `times`: occasions on which it happened; one occasion may count many objects.
    """

    number: int
    at: float
    kind: EventKind
    what: str
    why: str = ""
    count: int = 1
    attributes: tuple[str, ...] = ()
    times: int = 1
