"""Part `probes`: what probing peers costs a host, by how many there are.

The prober runs alone, in a namespace whose loopback answers for every peer: what is counted is our own work, and the
kernel's answers to it.
"""

from __future__ import annotations

from collections.abc import Iterable

from bench.figures import Figure, figure
from bench.namespace import python_inside, vxlan_namespace
from bench.run import Run

COUNTS = (3, 50, 1000)
INTERVAL_S = 10.0
"""The setting's default, which a share of a core is reckoned by."""


def measure(run: Run) -> Iterable[Figure]:
    rounds = run.pick(20, 5)
    for count in COUNTS:
        run.say(f"probes: {count:,} peers")
        with vxlan_namespace() as name:
            found = python_inside(name, "probes", count, rounds)
        shares = [ms / (INTERVAL_S * 10) for ms in found["cpu_ms"]]
        yield figure(
            f"probes.{count}.packets", f"a round of probes among {count:,} peers", "packets", found["packets"],
            note=f"Every peer answers at once; a round comes every {INTERVAL_S:g} s by default.",
        )  # fmt: skip
        yield figure(f"probes.{count}.cpu", "  CPU time of it", "ms", found["cpu_ms"])
        yield figure(f"probes.{count}.share", "  of a core, by default", "%", shares)
        yield figure(
            f"probes.{count}.memory", "  memory", "KiB", found["kib"],
            note="What the prober has allocated (tracemalloc) once every peer was probed.",
        )  # fmt: skip
