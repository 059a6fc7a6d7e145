"""`GET /v1/events` and `GET /v1/diff`: events, and the changes of the next pass."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventDocument:
    """Something that happened `times` times from `first_at` to `at` (wall time in seconds).

    `text` is the sentence for people. A trouble that `lasts` has no `ended_at`. `reasons` are the constants of all
    occasions, `about` the names, node ids and subnets of the peers that it concerns, of which `unlisted` more have no
    room.
    """

    number: int
    at: float
    kind: str
    what: str
    why: str
    count: int
    attributes: tuple[str, ...]
    times: int
    first_at: float
    text: str
    lasts: bool
    ended_at: float | None
    lasted_s: float | None
    reasons: tuple[str, ...]
    about: tuple[str, ...]
    unlisted: int


@dataclass(frozen=True, slots=True)
class EventsDocument:
    """Events, oldest first. Numbers go on over a restart as long as `epoch` is the same."""

    epoch: str
    events: tuple[EventDocument, ...]


@dataclass(frozen=True, slots=True)
class DifferenceDocument:
    """The changes of the next pass as lines of `ip` and `bridge`, and the kind of each one's object.

    `held` says why some lines wait (`held_lines`), "" if none does. `trusted` is false before all inputs are known.
    """

    trusted: bool
    lines: tuple[str, ...]
    kinds: tuple[str, ...]
    held: str
    held_lines: tuple[str, ...]
    conflicts: tuple[str, ...]
