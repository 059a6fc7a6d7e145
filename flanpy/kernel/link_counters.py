"""The kernel's counters of links, from /proc/net/dev: one small file, read whole where netlink would need a socket.

The path leads to the reader's network namespace; /sys/class/net shows the one it was mounted in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from flanpy.netlink.framing import text

_FILE = Path("/proc/net/dev")


@dataclass(frozen=True, slots=True)
class Counted:
    """One direction of a link since it was made."""

    bytes: int
    packets: int
    errors: int
    dropped: int


@dataclass(frozen=True, slots=True)
class LinkCounters:
    received: Counted
    sent: Counted


def read_counters(links: Collection[str], file: Path = _FILE) -> Mapping[str, LinkCounters]:
    """Return the counters of those of `links` that exist; of none if the file cannot be read."""
    try:
        lines = file.read_bytes().split(b"\n") if links else []
    except OSError:
        return {}
    rows = (line.partition(b":") for line in lines)
    return {name: _parsed(rest) for blank, _, rest in rows if (name := text(blank.strip())) in links}


def _parsed(row: bytes) -> LinkCounters:
    """Parse eight columns in, then eight out; bytes, packets, errs and drop are the first four of each."""
    columns = [int(column) for column in row.split()]
    return LinkCounters(Counted(*columns[:4]), Counted(*columns[8:12]))
