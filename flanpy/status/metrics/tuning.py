"""Metrics of how the host is tuned: room for neighbours, and what reverse-path filters dropped."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy.status.inputs import Inputs
from flanpy.status.metrics.families import count, counter, gauges


def tuning(inputs: Inputs) -> Iterator[Metric]:
    """Nothing before the first look."""
    if inputs.tuning is None:
        return
    tables = {table.family.name.lower(): table for table in inputs.tuning.neighbours}
    yield gauges(
        "flanpy_neighbours_limit",
        "Entries that the kernel lets the neighbour table hold (gc_thresh3).",
        ("family",),
        (((family,), table.limit) for family, table in tables.items()),
    )
    yield gauges(
        "flanpy_neighbours_needed",
        "Peers whose address this host has to resolve on its own links.",
        ("family",),
        (((family,), table.needed) for family, table in tables.items()),
    )
    refused = (((family,), float(table.refused)) for family, table in tables.items())
    yield counter("flanpy_neighbours_refused", "Neighbours that the kernel refused.", ("family",), refused)
    drops = inputs.tuning.reverse_path.drops
    yield count("flanpy_reverse_path_drops", "Packets that reverse-path filters of this host dropped.", drops)
