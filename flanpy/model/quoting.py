"""Values of others in messages: one short line each, whatever they hold.

What stands in etcd may be a number of thousands of digits or nested beyond all measure; a message about it must neither
fail nor fill a screen. Owns only the spelling; must not judge.
"""

from __future__ import annotations

import json


def quoted(value: object, longest: int = 80) -> str:
    """A value as one short line of Python, whatever it holds."""
    try:
        return shortened(ascii(value), longest)
    except (ValueError, RecursionError):
        return _by_type(value)


def quoted_json(value: object) -> str:
    """A value as one short line of JSON, whatever it holds."""
    try:
        return shortened(json.dumps(value))
    except (ValueError, RecursionError):  # an integer of thousands of digits, a structure too deep to print
        return _by_type(value)


def shortened(text: str, longest: int = 80) -> str:
    """The text, cut off where it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _by_type(value: object) -> str:
    return f"of type {type(value).__name__}"
