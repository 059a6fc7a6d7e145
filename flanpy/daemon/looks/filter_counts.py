"""The packets dropped by the packet filter, as metric families."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from flanpy.model.address import Family
from flanpy.netfilter.counters import counts

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def filter_counts(seen: Iterable[tuple[Family, str, int]] | None = None) -> Iterator[Metric]:
    """Nothing where rules have no counters: in iptables, and where the guard is off. `seen` is what the kernel says."""
    from flanpy.status.metrics.families import counter  # noqa: PLC0415, with the listeners

    rows = [((name, family.name.lower()), float(packets)) for family, name, packets in seen or counts()]
    if rows:
        yield counter(
            "flanpy_filter_dropped_packets",
            "Packets dropped: encapsulated (from containers to hosts), spoofed (in others' names), or strangers'.",
            ("reason", "family"),
            rows,
        )
