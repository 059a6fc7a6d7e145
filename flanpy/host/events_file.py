"""The events on disk, so that the last day's story outlives a restart of the daemon.

Owns `events.json` in the state directory: format, version, bounds. Any fault makes it absent with a reason; one row
that cannot be read, as of a kind that a later version knows, is left out and harms no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.host.absent import Absent
from flanpy.model.event import Event, EventKind, History, Spell
from flanpy.printable import on_one_line

FILE_NAME: Final = "events.json"
_VERSION: Final = 1
_LARGEST: Final = 4 << 20
_ROWS: Final = 500
_LONGEST: Final = 2000
"""Characters kept of one text: rows have some hundred."""


def save(state_dir: Path, history: History, *, node_id: str) -> bool:
    """Write the file if it differs. Raises HostError; the old file then stands."""
    document = {
        "version": _VERSION,
        "node_id": node_id,
        "epoch": history.epoch,
        "newest": history.newest,
        "events": [_row(event) for event in history.events[-_ROWS:]],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    return atomic.write(state_dir / FILE_NAME, text + b"\n", mode=0o600)


def load(state_dir: Path, *, node_id: str) -> History | Absent:
    """The saved events if they can be read and are this node's (a copied disk carries another's)."""
    path = state_dir / FILE_NAME
    try:
        document = json.loads(atomic.read(path, _LARGEST))
        if not isinstance(document, dict) or document.get("version") != _VERSION:
            found = document.get("version") if isinstance(document, dict) else type(document).__name__
            raise ValueError(f"version {found!r} is not {_VERSION}")
        owner, history = str(document["node_id"]), _history(document)
    except FileNotFoundError:
        return Absent()
    except OSError as cause:
        return Absent(f"cannot read '{path}': {cause.strerror}")
    except MALFORMED as cause:
        said = on_one_line(str(cause))[:200]
        return Absent(f"'{path}' cannot be used, new events will replace it: {type(cause).__name__}: {said}")
    if owner != node_id:
        return Absent(f"'{path}' belongs to node '{on_one_line(owner)[:200]}', this is '{node_id}'")
    return history


def _row(event: Event) -> dict[str, object]:
    spell = event.spell
    return {
        "number": event.number,
        "at": event.at,
        "kind": event.kind.value,
        "what": event.what[:_LONGEST],
        "why": event.why[:_LONGEST],
        "count": event.count,
        "attributes": event.attributes,
        "times": event.times,
        "first_at": event.first_at,
        "spell": None if spell is None else [spell.began_at, spell.ended_at, spell.lasted],
        "reasons": event.reasons,
        "about": event.about,
        "unlisted": event.unlisted,
    }


def _history(document: dict[str, Any]) -> History:
    rows = document["events"]
    if not isinstance(rows, list):
        raise TypeError(f"events {type(rows).__name__} is no list")
    events = tuple(_readable(rows[-_ROWS:]))
    newest = max([int(document["newest"]), *(event.number for event in events)])
    return History(str(document["epoch"]), newest, events)


def _readable(rows: list[Any]) -> Iterator[Event]:
    for row in rows:
        with suppress(*MALFORMED):
            yield _event(row)


def _event(row: dict[str, Any]) -> Event:
    spell = row["spell"]
    return Event(
        number=int(row["number"]),
        at=_time(row["at"]),
        kind=EventKind(row["kind"]),
        what=_text(row["what"]),
        why=_text(row["why"]),
        count=int(row["count"]),
        attributes=_texts(row["attributes"]),
        times=int(row["times"]),
        first_at=_time(row["first_at"]),
        spell=None if spell is None else _spell(*spell),
        reasons=_texts(row["reasons"]),
        about=_texts(row["about"]),
        unlisted=int(row["unlisted"]),
    )


def _spell(began_at: object, ended_at: object, lasted: object) -> Spell:
    return Spell(_time(began_at), None if ended_at is None else _time(ended_at), _time(lasted))


def _time(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{value!r} is no time")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no text")
    return value[:_LONGEST]


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} is no list")
    return tuple(map(_text, value))
