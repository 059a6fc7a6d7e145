"""Part `memory`: what the daemon takes with everything on, by the number of peers."""

from __future__ import annotations

import time
from collections.abc import Iterable

from bench.figures import Figure, figure
from bench.overlay import counters, overlay, start
from bench.proc import memory
from bench.run import Run

_NOTE = (
    "Proportional set size 3 s after every peer was programmed; control socket, health and metrics listeners on, each "
    "asked once. As it would be were this the only Python of the machine: pages of files count in full, those of the C "
    "library apart (smaps), though this benchmark maps many of the same files."
)


def measure(run: Run) -> Iterable[Figure]:
    for count, target in ((1000, 58.0), (10_000, None)):
        taken = [_once(count) for _ in run.turns(f"memory: {count:,} peers", run.pick(3, 1))]
        yield figure(
            f"memory.{count}.pss", f"PSS among {count:,} peers", "MiB", [row["Alone"] for row in taken],
            at_most=target, note=_NOTE,
        )  # fmt: skip
        for key, text in (
            ("Pss", "PSS as measured beside other Pythons"), ("Anonymous", "heap and stacks"), ("Rss", "resident"),
        ):  # fmt: skip
            id = key.lower() if key != "Pss" else "pss_beside"  # noqa: A001
            yield figure(f"memory.{count}.{id}", f"  {text}", "MiB", [row[key] for row in taken])


def _once(count: int) -> dict[str, float]:
    with overlay(count) as (_lab, host):
        start(host, count)
        host.daemon.answers("/healthz")
        counters(host)
        time.sleep(3)
        return memory(host.daemon.pid)
