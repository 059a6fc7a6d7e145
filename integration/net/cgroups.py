"""Owns the cgroups that carry a lab's name: who is in them, and their removal. A container engine makes and fills them.

Containers live in network namespaces without a name, so only their cgroup tells whose they are. Both layouts are known:
one tree (v2), and a tree per controller (v1).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def pids_in(prefix: str) -> list[int]:
    """Every process in a top-level cgroup whose name begins with `prefix`, or below it."""
    found: set[int] = set()
    for top in _tops(prefix):
        for listing in top.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # removed meanwhile
                found.update(int(line) for line in listing.read_text().split())
    return sorted(found - {0})  # 0: of a pid namespace that is not ours to see


def remove(prefix: str) -> None:
    """Remove those cgroups, innermost first; one that is not empty stays."""
    for top in _tops(prefix):
        inner = sorted((entry for entry in top.rglob("*") if entry.is_dir()), reverse=True)
        for group in [*inner, top]:
            with contextlib.suppress(OSError):
                group.rmdir()


def _tops(prefix: str) -> Iterator[Path]:
    yield from ROOT.glob(f"{prefix}*/")
    yield from ROOT.glob(f"*/{prefix}*/")
