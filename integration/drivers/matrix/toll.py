"""Owns what a fault costs the daemons and the traffic: one row of figures for one fault, and the table of all.

Traffic flows around the ring of residents from before the fault until after everything stands again. CPU time is the
kernel's own account of the process, so that a machine that stands still adds nothing to it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from integration.faults.fault import Fault, StrikeContext, nothing, within
from integration.hosts.guarded import NETWORK_CONFIG, GuardedLab
from integration.traffic.pairs import Probe, Stream
from integration.truth.fabric import Fabric
from integration.truth.shadow import Shadow

DATAGRAM_EACH_MS = 5.0
CHUNK_EACH_MS = 20.0
SETTLED_S = 1.0


@dataclass(frozen=True, slots=True)
class Toll:
    """The cost of one fault; CPU and log lines are those of the daemon that had most."""

    fault: str
    seconds: float
    sent: int
    lost: int
    longest_gap_ms: float
    tcp_whole: bool
    tcp_gap_ms: float
    cpu_s: float
    cpu_percent: float
    log_lines: int
    seen_s: float | None
    converged_s: float
    looks: int
    overlaps: tuple[str, ...]
    moved: tuple[str, ...]


def take(lab: GuardedLab, fault: Fault, *, in_full: bool = False) -> Toll:
    """Strike, hold, undo, wait until all stands, and return the cost."""
    hold = (fault.hold or fault.lasts)[in_full]
    context = StrikeContext(
        lab=lab, struck=lab.residents[: fault.hosts], lasts=hold, fabric=Fabric(NETWORK_CONFIG)
    )
    with within(fault.before or nothing, context):
        return _taken(context, fault, hold=hold)


def _taken(context: StrikeContext, fault: Fault, *, hold: float) -> Toll:
    lab = context.guarded
    subnets = {host.name: str(host.subnet_file.subnet) for host in lab.residents}
    with Shadow(lab.guarded) as shadow, _Flow(lab) as flow:
        spent, said, begun = _cpu(lab), _lines(lab), time.monotonic()
        with within(fault.strike, context):
            seen = lab.witness() if fault.serves else None
            time.sleep(max(0.0, begun + hold - time.monotonic()))
        converged = time.monotonic()
        lab.witness()
        lab.wait_leased()
        converged = time.monotonic() - converged
        time.sleep(SETTLED_S)  # what was to be lost now is lost
        seconds = time.monotonic() - begun
        cost = max(now - before for now, before in zip(_cpu(lab), spent, strict=True))
        lines = max(now - before for now, before in zip(_lines(lab), said, strict=True))
        probes, stream = flow.stop()
    after = {host.name: str(host.subnet_file.subnet) for host in lab.residents}
    return Toll(
        fault=fault.name,
        seconds=round(seconds, 1),
        sent=sum(probe.sent for probe in probes),
        lost=sum(probe.lost for probe in probes),
        longest_gap_ms=round(max(probe.longest_gap_ms for probe in probes), 1),
        tcp_whole=stream.whole,
        tcp_gap_ms=round(stream.longest_gap_ms, 1),
        cpu_s=round(cost, 2),
        cpu_percent=round(100 * cost / seconds, 2),
        log_lines=lines,
        seen_s=None if seen is None else round(seen, 2),
        converged_s=round(converged, 2),
        looks=shadow.book.changes,
        overlaps=tuple(shadow.book.broken),
        moved=tuple(
            f"{name}: {subnets[name]} to {now}" for name, now in after.items() if now != subnets[name]
        ),
    )


class _Flow:
    """Datagrams from each resident's container to the next one's, and a TCP stream the other way round."""

    def __init__(self, lab: GuardedLab) -> None:
        ends = [host.containers[0] for host in lab.residents]
        self._probes = [
            Probe(one, other, interval_ms=DATAGRAM_EACH_MS)
            for one, other in zip(ends, [*ends[1:], ends[0]], strict=True)
        ]
        self._stream = Stream(ends[0], ends[-1], interval_ms=CHUNK_EACH_MS)
        self._stack = ExitStack()

    def __enter__(self) -> _Flow:
        with ExitStack() as stack:
            for one in (*self._probes, self._stream):
                assert one.source.ping(one.target, count=2, wait=10).ok
                stack.callback(one.abort)
                one.start()
                one.wait_flowing()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def stop(self) -> tuple[list[Any], Any]:
        """End all and report."""
        return [probe.stop() for probe in self._probes], self._stream.stop()


def _cpu(lab: GuardedLab) -> list[float]:
    return [cpu_seconds(host.daemon.pid) for host in lab.residents]


def cpu_seconds(pid: int) -> float:
    """User and system time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _lines(lab: GuardedLab) -> list[int]:
    """Lines so far. Passes are left out: they tell of the witness's comings and goings."""
    return [
        sum('"pass_applied"' not in line for line in host.daemon.log_text(all_starts=True).splitlines())
        for host in lab.residents
    ]


_COLUMNS: tuple[tuple[str, Callable[[Toll], object]], ...] = (
    ("fault", lambda toll: toll.fault),
    ("seconds", lambda toll: f"{toll.seconds:.0f}"),
    ("sent", lambda toll: toll.sent),
    ("lost", lambda toll: toll.lost),
    ("longest gap ms", lambda toll: f"{toll.longest_gap_ms:.0f}"),
    ("TCP", lambda toll: "whole" if toll.tcp_whole else "broken"),
    ("CPU %", lambda toll: f"{toll.cpu_percent:.2f}"),
    ("log lines", lambda toll: toll.log_lines),
    ("news seen s", lambda toll: "-" if toll.seen_s is None else f"{toll.seen_s:.1f}"),
    ("converged s", lambda toll: f"{toll.converged_s:.1f}"),
    ("overlaps", lambda toll: len(toll.overlaps)),
)


def table(tolls: Iterable[Toll]) -> str:
    """One line a fault; CPU and log lines are of the daemon that had most."""
    rows: list[Sequence[str]] = [[name for name, _ in _COLUMNS]]
    rows += [[str(cell(toll)) for _, cell in _COLUMNS] for toll in tolls]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join(lines) + "\n"


def document(tolls: Iterable[Toll]) -> list[dict[str, Any]]:
    """The same as JSON."""
    return [asdict(toll) for toll in tolls]
