"""Part `start`: from exec to every peer programmed, and what that time goes into."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from typing import Any

from bench.figures import Figure, figure
from bench.overlay import all_marks, forget, kernel_watch, overlay, peers_from
from bench.proc import cpu_seconds
from bench.run import Run
from integration.lab import Host, Lab, LabError, Peer

TARGETS = ((1000, 1.4, "0.9-1.4 s"), (4000, 2.5, "3.4 s"))
_NOTE = (
    "A first start: no device, no lease, no files. From just before the program is executed to the kernel's "
    "notification of the last object of the last peer, by netlink with timestamps of our own."
)


def measure(run: Run) -> Iterable[Figure]:
    for count, target, flannel in TARGETS:
        with overlay(count) as (lab, host):
            peers = peers_from(0, count)
            rows = [once(lab, host, peers) for _ in run.turns(f"start: {count:,} leases", run.pick(7, 2))]
        name = f"exec to {count:,} peers programmed"
        yield figure(
            f"start.{count}", name, "s", [row["last"] for row in rows], at_most=target, flannel=flannel, note=_NOTE
        )  # fmt: skip
        for stage, text in STAGES:
            yield figure(f"start.{count}.{stage}", f"  {text}", "s", [row[stage] for row in rows])


STAGES = (
    ("settings", "to the first log line: interpreter, settings, lock"),
    ("network", "to the network config read: imports, connection"),
    ("lease", "to the own lease held"),
    ("first", "to the first object in the kernel"),
    ("cpu", "CPU time used"),
)


def once(lab: Lab, host: Host, peers: tuple[Peer, ...]) -> dict[str, float]:
    """Seconds from exec to each stage of one start."""
    forget(lab, host)
    marks = all_marks(peers)
    with kernel_watch(host) as watch:
        wait = watch.expect(marks)
        before, wall = time.monotonic_ns(), time.time()
        host.daemon.launch()
        try:
            last = _last(wait, host)
            cpu = cpu_seconds(host.daemon.pid)
            first = min(watch.seen[mark] for mark in marks)
        finally:
            host.daemon.kill()
    lines = host.daemon.log_lines()
    return {
        "settings": _logged(lines, "daemon_started") - wall,
        "network": _logged(lines, "network_read") - wall,
        "lease": _logged(lines, "lease_acquired") - wall,
        "first": (first - before) / 1e9,
        "last": (last - before) / 1e9,
        "cpu": cpu,
    }


def _last(wait: Callable[[float], int], host: Host) -> int:
    try:
        return wait(60.0)
    except TimeoutError as late:
        raise LabError(f"{late}; the daemon says:\n{host.daemon.log_tail(6)}") from late


def _logged(lines: list[dict[str, Any]], event: str) -> float:
    """Wall time of the first line of an event."""
    text = next(line["ts"] for line in lines if line.get("event") == event)
    return dt.datetime.fromisoformat(text).timestamp()
