"""Chooses events: since when, and about which host.

Pure, but for the rows of the known hosts, which the caller hands in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from flanpy.cli.base.hosts import answers
from flanpy.errors import UsageError

Event = Mapping[str, Any]

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NAMES: Final = ("host", "node_id")


def since(word: str, now: float) -> float:
    """Return the time that `15m`, `2h`, `08:30` or `2027-01-15 08:30` names, in seconds. Raises UsageError."""
    if found := _SPAN.fullmatch(word.strip()):
        return now - float(found[1]) * _SECONDS[found[2]]
    today = datetime.fromtimestamp(now)  # noqa: DTZ006 - an operator types the time of the clock on the wall
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", word.strip()):
            hour, minute, *second = map(int, word.split(":"))
            at = today.replace(hour=hour, minute=minute, second=(second or [0])[0], microsecond=0)
            return (at if at <= today else at - timedelta(days=1)).timestamp()
        return datetime.fromisoformat(word.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since '{word}' is no time: give a duration (90s, 15m, 2h, 1d), 08:30, or '2027-01-15 08:30'"
        ) from None


def is_since(event: Event, at: float) -> bool:
    """Report whether there was news of it since then, or it still lasts."""
    return bool(event.get("lasts")) or float(event["at"]) >= at


def words_of(peer: str, rows: Sequence[Mapping[str, Any]], events: Sequence[Event]) -> frozenset[str]:
    """Return all that the named host is called, by the leases or, if it has left, by the events. Raises UsageError."""
    found = {str(row[name]) for row in rows if answers(row, peer) for name in _NAMES if row.get(name)}
    found |= {_key(row) for row in rows if answers(row, peer)}
    found |= {word for event in events if peer in event.get("about", ()) for word in event["about"]}
    if not found:
        raise UsageError(f"--peer '{peer}' is no host that is known here: see flanpyctl subnets")
    return frozenset(found)


def _key(row: Mapping[str, Any]) -> str:
    """Return the last part of the lease's key in etcd, which names hosts that have no other name."""
    return "&".join(str(row[name]).replace("/", "-") for name in ("subnet", "subnet6") if row.get(name))


def is_about(event: Event, words: frozenset[str]) -> bool:
    """Report whether it concerns that host; a crowd whose members are not all listed may."""
    return bool(words.intersection(event.get("about", ()))) or bool(event.get("unlisted"))
