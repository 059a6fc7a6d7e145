"""Part `memory`: what the daemon takes with everything on, by the number of peers."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.figures import Figure, figure
from bench.overlay import counters, overlay, start
from bench.proc import memory
from bench.run import Run

_NOTE = (
    "Proportional set size (smaps_rollup), MB of 10^6 bytes, 3 s after every peer was programmed; control socket, "
    "health and metrics listeners on, each asked once. Pages of Python and its libraries count in part where another "
    "Python (this benchmark) has them mapped too; 'not shared' does not depend on that."
)


def measure(run: Run) -> Iterable[Figure]:
    for count, target in ((1000, 58.0), (10_000, None)):
        taken = [_once(count) for _ in run.turns(f"memory: {count:,} peers", run.pick(3, 1))]
        yield figure(
            f"memory.{count}", f"PSS among {count:,} peers", "MB", [row["Pss"] for row in taken],
            at_most=target, note=_NOTE,
        )  # fmt: skip
        for key, text in (
            ("Private", "not shared with any process"),
            ("Pss_Anon", "heap"),
            ("Rss", "resident"),
        ):
            yield figure(f"memory.{count}.{key.lower()}", f"  {text}", "MB", [row[key] for row in taken])


def _once(count: int) -> dict[str, float]:
    with overlay(count) as (_lab, host):
        start(host, count)
        host.daemon.answers("/healthz")
        counters(host)
        time.sleep(3)
        found = memory(host.daemon.pid)
    return {**found, "Private": found["Private_Clean"] + found["Private_Dirty"]}
