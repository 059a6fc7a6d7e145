"""A key or value that cannot be used, and how foreign text is shown."""

from __future__ import annotations

from typing import Final

_LONGEST_SHOWN: Final = 80


class Unusable(ValueError):
    """The reason why a key or value cannot be used, for people."""


def shown(value: str | bytes, *, quoted: bool = True) -> str:
    """Return foreign text as one short, printable line: it ends in logs and on terminals."""
    text = (
        value[: 4 * _LONGEST_SHOWN].decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    )
    text = ascii(text[: _LONGEST_SHOWN + 1])[1:-1]
    if len(text) > _LONGEST_SHOWN:
        text = f"{text[:_LONGEST_SHOWN]}..."
    return f"'{text}'" if quoted else text
