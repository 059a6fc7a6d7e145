"""Owns what is known of etcd's versions: from which one on its users' rights hold, and what is open in older ones.

Pure. The facts are those of etcd's own advisories; a new one is a line in `_HOLES` and a figure in `MINIMAL`, which the
Ansible role repeats.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

Version = tuple[int, int, int]

MINIMAL: Final = {(3, 5): (3, 5, 33), (3, 6): (3, 6, 14), (3, 7): (3, 7, 1)}
"""The first version of each line in which all that is known is fixed. A line that is missing here is out of support."""

_LAST_ENDED: Final = (3, 4)
_ENDED: Final = "etcd 3.4 has had no fixes since June 2026"
_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})([-+].*)?")


@dataclass(frozen=True, slots=True)
class Hole:
    """`fixed` has the first version without it of each line; a line that is missing there never got the fix."""

    id: str
    what: str
    fixed: tuple[Version, ...]


_HOLES: Final = (
    Hole(
        "CVE-2026-33343, GHSA-rfx7-8w68-q57q",
        "a nested transaction reads and writes every key, whatever the user may",
        ((3, 4, 42), (3, 5, 28), (3, 6, 9), (3, 7, 0)),
    ),
    Hole(
        "CVE-2026-33413, GHSA-q8m4-xhhv-38mg",
        "leases and alarms need no password",
        ((3, 4, 42), (3, 5, 28), (3, 6, 9), (3, 7, 0)),
    ),
    Hole(
        "CVE-2026-44283, GHSA-x35m-3gp4-4fh5",
        "a put in a transaction reads a key's value before, and binds any lease",
        ((3, 4, 44), (3, 5, 30), (3, 6, 11), (3, 7, 0)),
    ),
    Hole(
        "GHSA-xg4h-6gfc-h4m8",
        "who may read one key can watch all keys after it",
        (*MINIMAL.values(),),
    ),
)


def parsed(text: str) -> Version | None:
    """Return the three numbers of `3.5.30` or `3.6.0-rc.1`; None for anything else."""
    found = _VERSION.fullmatch(text.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def holes(version: Version) -> tuple[Hole, ...]:
    """Return what is known to be open in this version."""
    return tuple(hole for hole in _HOLES if not _is_fixed(hole.fixed, version))


def troubles(version: Version) -> tuple[str, ...]:
    """Return a line for each hole, and one if the version gets no fixes any more."""
    end = ended(version)
    return (*(f"{hole.what} ({hole.id})" for hole in holes(version)), *((end,) if end else ()))


def ended(version: Version) -> str:
    """Return a line that says so if this version's line gets no fixes any more, else ""."""
    line = version[:2]
    if line >= min(MINIMAL):
        return ""
    if line == _LAST_ENDED:
        return _ENDED
    return f"etcd {line[0]}.{line[1]} ended before 3.4, and {_ENDED}"


def advice() -> str:
    """Return the versions to update to, as words."""
    *some, last = (".".join(map(str, version)) for version in MINIMAL.values())
    return f"{', '.join(some)} or {last}, or a later one of these lines"


def _is_fixed(fixed: tuple[Version, ...], version: Version) -> bool:
    """Lines that are newer than all known ones began with the fix."""
    line = version[:2]
    if line > max(one[:2] for one in fixed):
        return True
    return any(one[:2] == line and version >= one for one in fixed)
