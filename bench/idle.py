"""Part `idle`: what the daemon costs when nothing happens."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.figures import Figure, figure
from bench.overlay import counters, kernel_watch, overlay, start
from bench.proc import cpu_seconds
from bench.run import Run
from integration.lab import Host

PEERS = 1000
WINDOW_S = 66.0
"""The periodic resync comes every 60 s +-10 %: each such window holds one, now and then two."""


def measure(run: Run) -> Iterable[Figure]:
    windows = run.pick(3, 1)
    shares, writes, resyncs = [], [], []
    with overlay(PEERS) as (_lab, host):
        # Nobody answers for these peers, which would keep a prober busy.
        start(host, PEERS, flags=("--probe=false",))
        time.sleep(3)
        for _ in run.turns(f"idle: {WINDOW_S:g} s among {PEERS:,} peers", windows):
            before = counters(host)
            time.sleep(0.5)  # the scrape itself is not idleness
            share, seen = _window(host)
            after = counters(host)
            shares.append(share)
            writes.append(seen + _grown(before, after, "flanpy_kernel_operations_total"))
            resyncs.append(_grown(before, after, "flanpy_resyncs_total"))
    yield figure(
        "idle.cpu", f"idle among {PEERS:,} peers", "% of a core", shares, at_most=0.2,
        note=f"User and system time of all threads (schedstat) over {WINDOW_S:g} s in which the kernel was read back "
        "at least once by the timer; lease keeping, watches and all listeners on; probes, which have figures of their "
        "own, are off.",
    )  # fmt: skip
    yield figure("idle.writes", "  kernel changes meanwhile", "", writes, at_most=0)
    yield figure("idle.resyncs", "  read-backs meanwhile", "", resyncs)


def _window(host: Host) -> tuple[float, float]:
    """(percent of a core, kernel changes that anybody made)."""
    pid = host.daemon.pid
    with kernel_watch(host) as watch:
        began, used = time.monotonic(), cpu_seconds(pid)
        time.sleep(WINDOW_S)
        share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
        return share * 100, float(watch.count)


def _grown(before: dict[str, float], after: dict[str, float], family: str) -> float:
    return sum(value - before.get(name, 0.0) for name, value in after.items() if name.startswith(family))
