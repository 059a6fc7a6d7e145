"""The events of this host: what changed, was repaired, joined or left, and when. A bounded ring, newest last.

Owns the ring and the merging of similar events: a thousand peers that join at once are one event, an event that repeats
within minutes grows a count instead of pushing the rest out, and what begins, ends and begins again is one row that
tells the first and the last time and how long it lasted. `happened` finds the happenings, `over` the ends of spells.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

from flanpy.model.event import ABOUT_UP_TO, LASTING, Event, EventKind, History, Spell

SIZE = 500
"""Events kept: a day's worth on a host with an operator at work, and less than 200 kB."""

KEPT_S = 86400.0
"""Seconds after which an event is forgotten, unless it still lasts."""

ALIKE_WITHIN_S = 300.0
"""Seconds within which what repeats is one event."""

FLAP_WITHIN_S = 900.0
"""Seconds after the end of a spell within which the same trouble is one more occasion of it."""

EACH_UP_TO = 8
"""The number of peers, at once or one after the other, that get an event each; more are one event."""

_LOOK_BACK = 16
"""How many of the newest events are looked through for one alike."""

NUMBERS_SKIPPED = 10_000
"""Numbers left out after a restart: those of events that were not saved are never given twice."""

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
    reason: str = ""
    about: tuple[str, ...] = ()
    unlisted: int = 0


class EventRing:
    """`newest` is the number of the newest event, 0 before the first. `on_news` is called after each change."""

    def __init__(self, size: int = SIZE, on_news: Callable[[], None] = lambda: None) -> None:
        self._events: deque[Event] = deque(maxlen=size)
        self.newest = 0
        self.epoch = ""
        self.on_news = on_news

    def restore(self, history: History, epoch: str) -> None:
        """Begin with the events of an earlier run; `epoch` names the numbering if there are none."""
        self._events.extend(history.events)
        self.epoch = history.epoch or epoch
        self.newest = history.newest + NUMBERS_SKIPPED if history.epoch else 0

    def history(self) -> History:
        """Return all that is to outlive the daemon."""
        return History(self.epoch, self.newest, tuple(self._events))

    def add(self, happenings: Iterable[Happening], at: float) -> None:
        """Take them in; `at` is wall time in seconds."""
        before = self.newest
        for one in happenings:
            if not self._is_told(one, at):
                self.newest += 1
                self._events.append(self._spell(one, at) if _is_spell(one) else self._moment(one, at))
        if self.newest != before:
            self.on_news()

    def end(self, over: Iterable[Event], at: float) -> None:
        """End these spells; each comes again to readers, under a new number."""
        for event in tuple(over):
            assert event.spell is not None
            self._events.remove(event)
            self.newest += 1
            lasted = max(0.0, at - event.spell.began_at)
            spell = replace(event.spell, ended_at=at, lasted=event.spell.lasted + lasted)
            self._events.append(replace(event, number=self.newest, at=at, spell=spell))
            self.on_news()

    def lasting(self) -> tuple[Event, ...]:
        """Return the spells that are not over."""
        return tuple(event for event in self._events if event.lasts)

    def forget(self, now: float) -> None:
        """Drop what is older than a day and over."""
        if not self._events or now - self._events[0].at <= KEPT_S:
            return
        kept = [event for event in self._events if event.lasts or now - event.at <= KEPT_S]
        if len(kept) != len(self._events):
            self._events.clear()
            self._events.extend(kept)
            self.on_news()

    def after(self, number: int = 0) -> tuple[Event, ...]:
        """Events with a greater number, oldest first. One that repeated comes again, under its new number."""
        found = list(_newer(reversed(self._events), number))
        return tuple(reversed(found))

    def _is_told(self, one: Happening, at: float) -> bool:
        """Report whether the spell of that very peer, just ended, says it: peers told of as a crowd have none."""
        return one.kind is EventKind.PEER_REACHABLE and any(
            event.kind is EventKind.PEER_UNREACHABLE
            and event.what == one.what
            and event.spell is not None
            and event.at == at
            for event in self._events
        )

    def _spell(self, one: Happening, at: float) -> Event:
        """The row of a spell: a new one, one more occasion of an earlier one, or news of one that lasts."""
        known = self._withdraw_spell(one, at)
        if known is None:
            fresh = Event(self.newest, at, one.kind, one.what, one.why, one.count, first_at=at)
            fresh = replace(fresh, reasons=_reasons((), one), about=one.about, spell=Spell(at))
            return self._crowded(fresh, one, at)
        assert known.spell is not None
        again = not known.lasts or one.kind is EventKind.STARTED
        return replace(
            known,
            number=self.newest,
            at=at,
            why=one.why,
            count=known.count + again,
            times=known.times + again,
            reasons=_reasons(known.reasons, one),
            spell=Spell(at, None, known.spell.lasted) if again else known.spell,
        )

    def _withdraw_spell(self, one: Happening, at: float) -> Event | None:
        """Take out the row of the same spell: it lasts, or was over a while ago at most."""
        for event in reversed(self._events):
            if (event.kind, event.what) != (one.kind, one.what) or event.spell is None:
                continue
            if event.lasts or at - (event.spell.ended_at or at) <= FLAP_WITHIN_S:
                self._events.remove(event)
                return event
            return None
        return None

    def _moment(self, one: Happening, at: float) -> Event:
        """The event to append; what it takes along of earlier ones is taken out."""
        alike = self._withdraw_alike(one, at)
        count, times, first = (alike.count, alike.times, alike.first_at) if alike is not None else (0, 0, at)
        event = Event(
            self.newest, at, one.kind, one.what, one.why, one.count + count, one.attributes, 1 + times, first
        )
        event = replace(event, reasons=_reasons((), one), about=one.about, unlisted=one.unlisted)
        return event if alike is not None else self._crowded(event, one, at)

    def _crowded(self, event: Event, one: Happening, at: float) -> Event:
        """The event, or one of it and the newest where they are a crowd."""
        if not self._is_crowd(one, at):
            return event
        last = self._events.pop()
        count, about = last.count + one.count, (*last.about, *one.about)
        return replace(
            event,
            what=f"{count} peers",
            why=f"the last: {one.what}",
            count=count,
            first_at=last.first_at,
            spell=None,
            about=about[:ABOUT_UP_TO],
            unlisted=last.unlisted + one.unlisted + (len(about) > ABOUT_UP_TO),
        )

    def _is_crowd(self, one: Happening, at: float) -> bool:
        """Report whether the newest EACH_UP_TO events are recent and all of `one`'s kind, one that is about peers."""
        newest = list(islice(reversed(self._events), EACH_UP_TO))
        return (
            one.kind in _OF_PEERS
            and len(newest) == EACH_UP_TO
            and all(event.kind is one.kind and at - event.at <= ALIKE_WITHIN_S for event in newest)
        )

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


def _is_spell(one: Happening) -> bool:
    """Report whether it lasts; of a crowd each peer comes back in its own time."""
    return one.kind in LASTING and one.count == 1


def _reasons(known: tuple[str, ...], one: Happening) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *filter(None, (one.reason,)))))


def _newer(newest_first: Iterable[Event], number: int) -> Iterator[Event]:
    for event in newest_first:
        if event.number <= number:
            return
        yield event
