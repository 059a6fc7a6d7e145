"""The etcd session's counters as metric families."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flanpy.store.record import StoreStats

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def store_counts(stats: StoreStats) -> Iterator[Metric]:
    """Requests by operation and gRPC code, latency of the last one, listings by reason."""
    from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415, imported with the listeners

    from flanpy.status.metrics import counter, gauge  # noqa: PLC0415

    calls = [(key, float(count)) for key, count in stats.calls.items()]
    yield counter(
        "flanpy_store_requests", "etcd requests by operation and gRPC code.", ("operation", "code"), calls
    )
    latency = GaugeMetricFamily(
        "flanpy_store_last_latency_seconds", "Duration of the last request.", labels=("operation",)
    )
    for operation, seconds in sorted(stats.latency_s.items()):
        latency.add_metric((operation,), seconds)
    yield latency
    listings = [((reason,), float(count)) for reason, count in stats.resyncs.items()]
    yield counter("flanpy_store_listings", "Listings of a watched prefix, by reason.", ("reason",), listings)
    connected = stats.connected_since is not None and stats.outage_since is None
    yield gauge("flanpy_store_connected", "1 while etcd answers.", connected)
