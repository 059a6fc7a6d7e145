"""Values in people's words: durations, counts, yes and no. Pure text."""

from __future__ import annotations

import re

from flanpy.printable import plural

__all__ = ["duration", "natural", "plural", "yes"]

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def duration(seconds: float) -> str:
    """The two largest units: `23 h 12 min`, `4 min 5 s`, `0 s`. Negative counts as 0."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"


def natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    """Return the key by which people sort names: `h2` before `h10`."""
    pieces = re.split(r"([0-9]{1,18})", text.lower())
    return tuple((piece.isdecimal(), int(piece) if piece.isdecimal() else 0, piece) for piece in pieces)


def yes(value: object) -> str:
    """`yes`, or nothing."""
    return "yes" if value else ""
