"""The nearest right word for a wrong one."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str], *, show: str = "{}") -> str:
    """`; did you mean '...'?` for the closest candidate, '' if none is close. `show` formats the candidate."""
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake needs it

    found = get_close_matches(word, list(candidates), n=1, cutoff=0.6)
    return f"; did you mean '{show.format(found[0])}'?" if found else ""
