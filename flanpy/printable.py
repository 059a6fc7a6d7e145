"""Text of strangers made fit for terminals and encodings: what etcd or a peer says may end in a log or on a screen.

JSON escapes the C0 controls only. A terminal also obeys C1 controls (U+009B begins an escape sequence), and marks that
turn the direction of text make a line read as what it is not; halves of surrogate pairs cannot be encoded at all.
"""

from __future__ import annotations

import re
from typing import Any, Final

_MORE: Final = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff"
_UNSEEN: Final = re.compile(f"[{_MORE}]")
_ANY: Final = re.compile(f"[\x00-\x1f{_MORE}]")
_CONTROL: Final = re.compile(f"[\x00-\x08\x0b-\x1f{_MORE}]")


def escaped(json_text: str) -> str:
    """The same JSON, with such characters as escapes of its own."""
    return _UNSEEN.sub(_escape, json_text)


def tamed(text: str) -> str:
    """Text of several lines with all other controls written as Python would."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def on_one_line(text: str) -> str:
    """The same as one line: nothing in it moves a cursor."""
    return text if text.isprintable() else _ANY.sub(lambda found: ascii(found[0])[1:-1], text)


def plain(document: Any) -> Any:
    """A JSON document with a question mark for each such character in its texts."""
    match document:
        case str():
            return _ANY.sub("?", document)
        case dict():
            return {_ANY.sub("?", key): plain(value) for key, value in document.items()}
        case list():
            return [plain(value) for value in document]
        case _:
            return document


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def plural(count: int, noun: str) -> str:
    """Return `1 subnet`, `3 subnets`, `2 addresses`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun}{'es' if noun.endswith(('s', 'x', 'ch')) else 's'}"


def span(seconds: float) -> str:
    """Return a duration in its two largest units, or tenths of seconds: `0.9 s`, `2 min 11 s`, `3 h 4 min`."""
    tenths = round(max(0.0, seconds), 1)
    if tenths < 10:
        return f"{tenths:g} s"
    left = round(tenths)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2]))
