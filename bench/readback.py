"""Part `readback`: everything of 10,000 peers read from the kernel, and how long the event loop is kept meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.figures import Figure, figure
from bench.namespace import LINK, python_inside, seconds, vxlan_namespace
from bench.run import Run

PEERS = 10_000
DUMPS = (
    ("ip", "-j", "route", "show", "table", "main"),
    ("ip", "-j", "neigh", "show", "dev", LINK),
    ("bridge", "-j", "fdb", "show", "dev", LINK),
)


def measure(run: Run) -> Iterable[Figure]:
    rounds, turns = run.pick(3, 1), run.pick(5, 3)
    cold: list[Sequence[float]] = []
    warm: list[Sequence[float]] = []
    theirs: list[Sequence[float]] = []
    tool: list[float] = []
    for _ in run.turns(f"readback: {PEERS:,} peers, flanpy, ip -j and pyroute2 in turn", rounds):
        with vxlan_namespace() as namespace:
            found = python_inside(namespace, "readback", "ours", PEERS, LINK, turns)
            tool += [sum(seconds(namespace, *argv) for argv in DUMPS) for _ in range(turns)]
        cold += found["cold"]
        warm += found["warm"]
        with vxlan_namespace() as namespace:
            theirs += python_inside(namespace, "readback", "pyroute2", PEERS, LINK, run.pick(2, 1))["cold"]
    yield from _ours(cold, warm)
    yield figure("readback.ip", f"{PEERS:,} peers read, ip -j and bridge -j", "ms", _milli(tool))
    yield figure("readback.pyroute2", f"{PEERS:,} peers read, pyroute2", "ms", _column(theirs, 0))
    yield figure("readback.pyroute2_stall", "  worst event loop stall, pyroute2", "ms", _column(theirs, 1))


def _ours(cold: Sequence[Sequence[float]], warm: Sequence[Sequence[float]]) -> Iterable[Figure]:
    note = (
        "NetlinkKernel.read_back in a namespace that holds the device and its 30,000 entries. First: by a new adapter, "
        "every object made; again: what was seen before is recognised. Stall: how late a task came that asks for every "
        "millisecond, at worst, in one read-back; the median over read-backs."
    )
    yield figure(
        "readback.first", f"{PEERS:,} peers read, first time", "ms", _column(cold, 0), at_most=200, note=note
    )
    yield figure("readback.first_stall", "  worst event loop stall", "ms", _column(cold, 1), at_most=20)
    yield figure("readback.again", f"{PEERS:,} peers read, again", "ms", _column(warm, 0), at_most=200)
    yield figure("readback.again_stall", "  worst event loop stall", "ms", _column(warm, 1), at_most=20)


def _column(rows: Sequence[Sequence[float]], column: int) -> list[float]:
    return _milli(row[column] for row in rows)


def _milli(values: Iterable[float]) -> list[float]:
    return [value * 1000 for value in values]
