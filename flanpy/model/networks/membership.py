"""Membership: which hosts are on a named network. Pure.

Each host decides for itself, by what it is called: its labels, its host name and its node id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

NOT: Final = "!"
"""Before the name of a host that has left a network."""

_LABEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


def is_label(text: str) -> bool:
    """Report whether a text can be a label, a host name or a node id."""
    return _LABEL.fullmatch(text) is not None


def is_entry(text: str) -> bool:
    """Report whether a text can stand in a network's list of hosts."""
    return is_label(text.removeprefix(NOT))


def is_member(hosts: Iterable[str], called: Iterable[str]) -> bool:
    """Report whether a host that is `called` so is on a network with this list of hosts.

    One who has left is not. Else everybody is, if the list names nobody.
    """
    names, listed = set(called), tuple(hosts)
    if any(one.removeprefix(NOT) in names for one in listed if one.startswith(NOT)):
        return False
    chosen = [one for one in listed if not one.startswith(NOT)]
    return not chosen or not names.isdisjoint(chosen)


def attached(hosts: Iterable[str], called: Iterable[str]) -> tuple[str, ...]:
    """Return the list of hosts with this one on the network; the last name stands for it."""
    names = tuple(called)
    kept = tuple(one for one in hosts if not (one.startswith(NOT) and one.removeprefix(NOT) in names))
    return kept if is_member(kept, names) else (*kept, names[-1])


def left(hosts: Iterable[str], called: Iterable[str]) -> tuple[str, ...]:
    """Return the list of hosts without this one; the last name stands for it."""
    names, listed = tuple(called), tuple(hosts)
    gone = any(f"{NOT}{name}" in listed for name in names)
    return listed if gone else (*listed, f"{NOT}{names[-1]}")
