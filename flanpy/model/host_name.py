"""The text that is a host name. It never identifies: ownership goes by node id and address alone.

It has the letters of RFC 1123, and `_`, so that `~`, which joins name and node id where names collide, is in none.
"""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)
_NUMBERS: Final = re.compile(r"[0-9.]+", re.ASCII)
_NO_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "localhost4", "localhost6"})
"""The names of hosts that were given none."""


def host_name(text: object) -> str:
    """Return text as a host name, "" if it is none: not one by its letters, an address, or every host's name."""
    if not text or not isinstance(text, str) or _NAME.fullmatch(text) is None:
        return ""
    return "" if text.lower() in _NO_NAMES or _NUMBERS.fullmatch(text) else text
