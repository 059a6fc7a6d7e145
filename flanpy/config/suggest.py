"""Words for error messages: the nearest right one for a wrong one, and foreign text made fit for one line."""

from __future__ import annotations

import re
from collections.abc import Iterable


def one_line(text: str) -> str:
    """`text` shortened, without control characters and without the user and password of an URL."""
    text = re.sub(r"//[^/]*@", "//********@", text)
    shown = text if text.isprintable() else text.encode("unicode_escape").decode()
    return shown if len(shown) <= 80 else shown[:77] + "..."


def nearest(word: str, candidates: Iterable[str], *, show: str = "{}") -> str:
    """`; did you mean '...'?` for the closest candidate, '' if none is close. `show` formats the candidate."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    found = get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean '{show.format(found[0])}'?" if found else ""
