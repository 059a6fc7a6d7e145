"""flanpyd with a window into its heap: run as a program in the daemon's place, it appends a JSON line at each SIGUSR2.

A line says how much the C library and Python's own allocator hold and use, and which types there are how many of; so
that growth is told apart from fragmentation, and has a name. What it costs itself is why the soak's figures are taken
without it. With SOAK_TRACES it also names the lines of code that allocated most since the line before, and
with SOAK_HELD=flanpy.model.lease.Lease what holds the objects of that type.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import signal
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from types import FrameType

FILE, TRACES, HELD = "SOAK_INSIDE", "SOAK_TRACES", "SOAK_HELD"
MOST = 40


_NAMES = (
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
)  # fmt: skip


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = tuple((name, ctypes.c_size_t) for name in _NAMES)


def held() -> dict[str, int]:
    """Octets that the C library got from the kernel, lent out, and has free; blocks that Python lent out."""
    library = ctypes.CDLL(None)
    library.mallinfo2.restype = _Mallinfo
    found = library.mallinfo2()
    return {
        "c_arena": found.arena,
        "c_mapped": found.hblkhd,
        "c_used": found.uordblks,
        "c_free": found.fordblks,
        "python_blocks": sys.getallocatedblocks(),
    }


def contents() -> dict[str, object]:
    """Objects by type, the most frequent first, and how many were garbage; also of those that are frozen."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    garbage = gc.collect()
    counts = Counter(map(_name, gc.get_objects()))
    held_by = holders(os.environ.get(HELD, ""))
    if frozen:
        gc.freeze()
    return {
        "frozen": frozen,
        "garbage": garbage,
        "python_blocks_kept": sys.getallocatedblocks(),
        "types": dict(counts.most_common(MOST)),
        "holders": held_by,
    }


def holders(name: str) -> dict[str, int]:
    """Count the holders of the objects of a type: each kind of holder, with its size, and how many objects it holds."""
    found = [each for each in gc.get_objects() if name and _name(each) == name]
    wanted = {id(each) for each in found}
    counts: Counter[str] = Counter()
    for holder in gc.get_referrers(*found) if found else ():
        if holder is not found:
            held = sum(id(each) in wanted for each in gc.get_referents(holder))
            size = len(holder) if isinstance(holder, dict | list | tuple | set | frozenset) else 0
            counts[f"{_name(holder)} of {size}"] += held
    return dict(counts.most_common(MOST))


def _name(each: object) -> str:
    return f"{type(each).__module__}.{type(each).__qualname__}"


class _Window:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._before: tracemalloc.Snapshot | None = None

    def look(self, _number: int, _frame: FrameType | None) -> None:
        """Append a line about the heap."""
        line = {"at": time.monotonic(), **held(), **contents(), **self._lines()}
        with self._path.open("a") as out:
            out.write(json.dumps(line) + "\n")

    def _lines(self) -> dict[str, list[str]]:
        if not tracemalloc.is_tracing():
            return {}
        now, before = tracemalloc.take_snapshot(), self._before
        self._before = now
        return {"lines": [str(each) for each in now.compare_to(before, "lineno")[:MOST]] if before else []}


def main() -> int:
    """Run the daemon with the window."""
    if os.environ.get(TRACES):
        tracemalloc.start(int(os.environ[TRACES]))
    signal.signal(signal.SIGUSR2, _Window(Path(os.environ[FILE])).look)
    from flanpy.daemon.main import main as flanpyd  # noqa: PLC0415 - what it allocates is to be traced

    return flanpyd()


if __name__ == "__main__":
    sys.exit(main())
