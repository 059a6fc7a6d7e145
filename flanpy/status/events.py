"""The events of this host: what changed, was repaired, joined or left, and when. A bounded ring, newest last.

Owns the ring and the merging of similar events: a thousand peers that join at once are one event, and an event that
repeats within minutes grows a count instead of pushing the rest out. `happened` finds the happenings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from flanpy.model.event import Event, EventKind

SIZE = 500
"""Events kept: a day's worth on a host with an operator at work, and less than 200 kB."""

ALIKE_WITHIN_S = 300.0
"""Seconds within which what repeats is one event."""

EACH_UP_TO = 8
"""The number of peers, at once or one after the other, that get an event each; more are one event."""

_LOOK_BACK = 16
"""How many of the newest events are looked through for one alike."""

_OF_PEERS = frozenset(
    {
        EventKind.PEER_JOINED,
        EventKind.PEER_LEFT,
        EventKind.PEER_CHANGED,
        EventKind.PEER_UNREACHABLE,
        EventKind.PEER_REACHABLE,
    }
)


@dataclass(frozen=True, slots=True)
class Happening:
    """An event before it has its place and time; fields as in `Event`."""

    kind: EventKind
    what: str
    why: str = ""
    count: int = 1
    attributes: tuple[str, ...] = ()


class EventRing:
    """`newest` is the number of the newest event, 0 before the first."""

    def __init__(self, size: int = SIZE) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self.newest = 0

    def add(self, happenings: Iterable[Happening], at: float) -> None:
        """Take them in; `at` is wall time in seconds."""
        for one in happenings:
            self.newest += 1
            self._events.append(self._event(one, at))

    def _event(self, one: Happening, at: float) -> Event:
        """The event to append; what it takes along of earlier ones is taken out."""
        alike = self._withdraw_alike(one, at)
        count, times = (alike.count, alike.times) if alike is not None else (0, 0)
        event = Event(
            self.newest, at, one.kind, one.what, one.why, one.count + count, one.attributes, 1 + times
        )
        if alike is None and self._is_crowd(one, at):
            last = self._events.pop()
            count = last.count + one.count
            event = replace(event, what=f"{count} peers", why=f"the last: {one.what}", count=count)
        return event

    def _is_crowd(self, one: Happening, at: float) -> bool:
        """Report whether the newest EACH_UP_TO events are recent and all of `one`'s kind, one that is about peers."""
        newest = list(islice(reversed(self._events), EACH_UP_TO))
        return (
            one.kind in _OF_PEERS
            and len(newest) == EACH_UP_TO
            and all(event.kind is one.kind and at - event.at <= ALIKE_WITHIN_S for event in newest)
        )

    def after(self, number: int = 0) -> tuple[Event, ...]:
        """Events with a greater number, oldest first. One that repeated comes again, under its new number."""
        found = list(_newer(reversed(self._events), number))
        return tuple(reversed(found))

    def _withdraw_alike(self, one: Happening, at: float) -> Event | None:
        """Take out the same happening of a while ago."""
        for event in islice(reversed(self._events), _LOOK_BACK):
            same = (event.kind, event.what, event.why, event.attributes) == (
                one.kind,
                one.what,
                one.why,
                one.attributes,
            )
            if same and at - event.at <= ALIKE_WITHIN_S:
                self._events.remove(event)
                return event
        return None


def _newer(newest_first: Iterable[Event], number: int) -> Iterator[Event]:
    for event in newest_first:
        if event.number <= number:
            return
        yield event
