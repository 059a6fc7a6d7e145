"""Events: the history of this host's overlay, for later questions of the operator. A bounded ring, newest last.

An event is a moment (a repair, a host that came), or a spell, which begins and ends (a start, a trouble): one row tells
both ends, and what comes and goes again and again is one row still.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

WHOLE: Final = "whole"
"""Stands among `Event.attributes` for an object that was made or removed as a whole."""


class EventKind(Enum):
    """The kind of an event. The value is what people and machines see."""

    STARTED = "started"
    """the daemon started; the spell is the time until the host was ready."""
    CONDITION_RAISED = "condition_raised"
    """a condition turned bad, or its trouble became another; the spell ends when it is well again."""
    PHASE_CHANGED = "phase_changed"
    """the daemon left READY for another phase; the spell ends with that phase."""
    REPAIRED = "repaired"
    """something of ours was gone or changed and was put back, or something too many was removed."""
    PEER_JOINED = "peer_joined"
    """a host came."""
    PEER_LEFT = "peer_left"
    """a host's lease is gone."""
    PEER_CHANGED = "peer_changed"
    """a host's address, device or backend is another."""
    PEER_UNREACHABLE = "peer_unreachable"
    """probes do not reach a peer any more; why is what the evidence says. The spell ends when they reach it again."""
    PEER_REACHABLE = "peer_reachable"
    """probes reach peers again that were told of as a crowd: the spell of one peer has no such event."""
    LEASE_CHANGED = "lease_changed"
    """this host's subnet is another, or is ours no more."""
    NETWORK_JOINED = "network_joined"
    """this host has a slice of a named network now, or another one than before."""
    NETWORK_LEFT = "network_left"
    """this host is on a named network no more."""
    RESYNC = "resync"
    """the kernel was read back because something was missed."""


LASTING: Final = frozenset(
    {EventKind.STARTED, EventKind.CONDITION_RAISED, EventKind.PHASE_CHANGED, EventKind.PEER_UNREACHABLE}
)
"""Kinds that are spells."""


@dataclass(frozen=True, slots=True)
class Spell:
    """A thing that lasts. `began_at` and `ended_at` are wall time in seconds of the newest occasion; while it lasts
    `ended_at` is None. `lasted` is the sum in seconds of the occasions that are over.
    """

    began_at: float
    ended_at: float | None = None
    lasted: float = 0.0

    @property
    def newest(self) -> float | None:
        """Return how long the newest occasion lasted, None while it lasts; a clock that was set back makes it 0."""
        return None if self.ended_at is None else max(0.0, self.ended_at - self.began_at)


@dataclass(frozen=True, slots=True)
class Event:
    """`at` is wall time in seconds of the last news, `what` names the thing (condition, object, peer), `why` is a line.

    `count`: how many alike were one after the other; `number` grows with each event, for readers that follow.
    `attributes`: what a repair put right of objects of the kind `what`: names of settings, or attributes of a link;
    `WHOLE` for what was made or removed. `times`: occasions on which it happened; one occasion may count many objects.
    `first_at` is the time of the first one, `reasons` are the constants of all, in order. `about`: the names, node ids
    and subnets of the peers that it concerns; `unlisted` is how many more peers of a crowd have no room in it.
    """

    number: int
    at: float
    kind: EventKind
    what: str
    why: str = ""
    count: int = 1
    attributes: tuple[str, ...] = ()
    times: int = 1
    first_at: float = 0.0
    spell: Spell | None = None
    reasons: tuple[str, ...] = ()
    about: tuple[str, ...] = ()
    unlisted: int = 0

    @property
    def lasts(self) -> bool:
        """Report whether it is a spell that is not over."""
        return self.spell is not None and self.spell.ended_at is None


ABOUT_UP_TO: Final = 96
"""Names kept in one event's `about`."""


@dataclass(frozen=True, slots=True)
class History:
    """The events that outlive the daemon. `epoch` names the numbering: another one counts from the start."""

    epoch: str = ""
    newest: int = 0
    events: tuple[Event, ...] = ()
