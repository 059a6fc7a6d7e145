"""The watchers of all streams: each hears of the changes in its range.

Owns the watchers and what waits for each. Must not know gRPC. A watcher whose reader is slow keeps nothing here: beyond
a bound it is told from the history again, from where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from flanpy.store import etcdpb as pb
from flanpy.storeserver.database import Database
from flanpy.storeserver.writing import Change

MOST_WAITING: Final = 1000
"""Changes that wait for one watcher; beyond it is told from the history."""
MOST_AT_ONCE: Final = 1000
"""Changes in one answer from the history; those of one revision stay together."""

Span = tuple[bytes, bytes]


class CompactedAway(Exception):
    """The history that a watcher waits for is gone; `revision` is the oldest that is left."""

    def __init__(self, revision: int) -> None:
        super().__init__(revision)
        self.revision = revision


@dataclass(slots=True, eq=False)
class Watcher:
    """One watch. `next` is the first revision that it was not told; `lagging` while it reads from the history."""

    id: int
    span: Span
    next: int
    wake: Callable[[], None]
    skips_puts: bool = False
    skips_deletes: bool = False
    with_previous: bool = False
    fragments: bool = False
    tells_progress: bool = False
    lagging: bool = False
    waiting: list[Change] = field(default_factory=list)

    def push(self, change: Change) -> None:
        """Take a change that was just made."""
        if self.lagging or change.kv.mod_revision < self.next:
            return
        if len(self.waiting) >= MOST_WAITING:
            self.next = self.waiting[0].kv.mod_revision
            self.waiting.clear()
            self.lagging = True
        else:
            self.waiting.append(change)

    def event(self, change: Change) -> pb.Event | None:
        """Return a change as this watcher is told it; None if it does not want to know."""
        deleted = change.kv.version == 0
        if self.skips_deletes if deleted else self.skips_puts:
            return None
        kind = pb.Event.DELETE if deleted else pb.Event.PUT
        return pb.Event(type=kind, kv=change.kv, prev_kv=change.previous if self.with_previous else None)


class Watchers:
    """All watchers. `revision` is the newest that they were told of."""

    def __init__(self, database: Database, revision: int, compacted: int) -> None:
        """`database` is a connection for reading, of the event loop's thread."""
        self._database = database
        self.revision = revision
        self.compacted = compacted
        self._by_span: dict[Span, set[Watcher]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_span.values()))

    def add(self, watcher: Watcher) -> None:
        """Let a watcher hear of changes, first of those since its `next`."""
        watcher.lagging = watcher.next <= self.revision
        self._by_span.setdefault(watcher.span, set()).add(watcher)

    def remove(self, watcher: Watcher) -> None:
        """Let it hear no more."""
        same = self._by_span.get(watcher.span, set())
        same.discard(watcher)
        if not same:
            self._by_span.pop(watcher.span, None)

    def publish(self, changes: Sequence[Change], revision: int, compacted: int) -> None:
        """Tell of what was committed."""
        self.revision, self.compacted = revision, compacted
        for span, watchers in self._by_span.items():
            ours = [change for change in changes if _within(change.kv.key, span)]
            if not ours:
                continue
            for watcher in watchers:
                for change in ours:
                    watcher.push(change)
                watcher.wake()

    def take(self, watcher: Watcher) -> list[pb.Event]:
        """Return what waits for a watcher, or a part of it if that is much. Raises `CompactedAway`."""
        if watcher.lagging:
            changes = self._from_history(watcher)
        else:
            changes, watcher.waiting = watcher.waiting, []
            if changes:
                watcher.next = changes[-1].kv.mod_revision + 1
        return [event for change in changes if (event := watcher.event(change)) is not None]

    def _from_history(self, watcher: Watcher) -> list[Change]:
        if watcher.next < self.compacted:
            raise CompactedAway(self.compacted)
        with self._database.reading():
            found = self._chunk(watcher)
            if not watcher.with_previous:
                return [Change(kv, None) for kv in found]
            return [Change(kv, self._database.before(kv.key, kv.mod_revision)) for kv in found]

    def _chunk(self, watcher: Watcher) -> list[pb.KeyValue]:
        key, end = watcher.span
        first, last = watcher.next, self.revision
        found = self._database.changes(key, end, first=first, last=last, limit=MOST_AT_ONCE + 1)
        if len(found) <= MOST_AT_ONCE:
            watcher.next, watcher.lagging = last + 1, False
            return found
        cut = found[-1].mod_revision
        if found[0].mod_revision == cut:  # one revision with more changes than an answer should have
            watcher.next = cut + 1
            return self._database.changes(key, end, first=cut, last=cut)
        watcher.next = cut
        return [kv for kv in found if kv.mod_revision < cut]


def span_of(key: bytes, end: bytes) -> Span:
    """Return a range as a watch means it: no key at all is the first one."""
    return key or b"\0", end


def is_empty(span: Span) -> bool:
    """Tell whether a range can have no key."""
    key, end = span
    return bool(end) and end != b"\0" and key >= end


def _within(key: bytes, span: Span) -> bool:
    start, end = span
    return key == start if not end else key >= start and (end == b"\0" or key < end)


def pieces(events: Sequence[pb.Event], most: int) -> Iterable[list[pb.Event]]:
    """Cut events into lists of at most `most` bytes, each with one event at least."""
    piece: list[pb.Event] = []
    size = 0
    for event in events:
        more = event.ByteSize()
        if piece and size + more > most:
            yield piece
            piece, size = [], 0
        piece.append(event)
        size += more
    if piece:
        yield piece
