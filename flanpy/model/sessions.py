"""WireGuard's sessions over time: which peers are sent to and do not answer, which send from elsewhere.

One dump tells neither: an idle pair has no session and no fault. Pure; both clocks are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from flanpy.model.objects import Key
from flanpy.model.wireguard import SeenPeer, SessionState, WgPeer, session_state

IN_VAIN_S: Final = 15.0
"""Seconds of sending without an answer: WireGuard begins a new handshake after so many (KEEPALIVE + REKEY_TIMEOUT)."""

QUIET_S: Final = 30.0
"""Seconds without a byte sent after which nobody waits for an answer: a host that tries sends every five."""

AHEAD_S: Final = 10.0
"""Seconds by which a handshake may be later than now: a clock that is set right in small steps harms no session."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A peer as last dumped, sent to from `first` to `latest` (monotonic) without an answer; None if it answers."""

    seen: SeenPeer
    first: float | None = None
    latest: float = 0.0

    @property
    def is_in_vain(self) -> bool:
        """Report whether it lasted long enough to be a fault."""
        return self.first is not None and self.latest - self.first >= IN_VAIN_S


def follow(before: Mapping[Key, Asking], seen: Iterable[SeenPeer], now: float) -> Mapping[Key, Asking]:
    """Return the peers after this dump of `now` (monotonic)."""
    return MappingProxyType({one.peer.key: _after(before.get(one.peer.key), one, now) for one in seen})


def _after(old: Asking | None, seen: SeenPeer, now: float) -> Asking:
    received, sent, handshake = (
        (old.seen.received, old.seen.sent, old.seen.handshake) if old is not None else (0, 0, 0)
    )
    if (seen.received, seen.handshake) != (received, handshake):
        return Asking(seen)
    since = old.first if old is not None else None
    if seen.sent != sent:
        return Asking(seen, now if since is None else since, now)
    if old is None or now - old.latest >= QUIET_S:
        return Asking(seen)
    return Asking(seen, since, old.latest)


@dataclass(frozen=True, slots=True)
class SessionFaults:
    """The peers of a dump that are not as they should be; equal to those of the next while only bytes are counted.

    `overdue` are sent to, answer nothing, and have no session that lives. `strayed` send from another address than they
    were given, while their session lives. `ahead` had their last handshake later than now, at `latest` (wall) at most.
    """

    overdue: tuple[WgPeer, ...] = ()
    strayed: tuple[WgPeer, ...] = ()
    ahead: tuple[WgPeer, ...] = ()
    latest: int = 0


def faults(asking: Iterable[Asking], strayed: Iterable[SeenPeer], wall: float) -> SessionFaults:
    """Return the faults at this second of the wall clock. `strayed` have another endpoint than they were given."""
    known = tuple(asking)
    ahead = [one.seen for one in known if _is_ahead(one.seen, wall)]
    overdue = tuple(one.seen.peer for one in known if one.is_in_vain and not _lives(one.seen, wall))
    return SessionFaults(
        overdue,
        tuple(seen.peer for seen in strayed if _lives(seen, wall)),
        tuple(seen.peer for seen in ahead),
        max((seen.handshake for seen in ahead), default=0),
    )


def _is_ahead(seen: SeenPeer, wall: float) -> bool:
    return seen.handshake - wall > AHEAD_S


def _lives(seen: SeenPeer, wall: float) -> bool:
    """Report whether a session lives; of one that is yet to come nobody can tell."""
    return not _is_ahead(seen, wall) and session_state(seen, wall) is SessionState.UP
