"""Metrics of cloud routes: calls of the provider's API, changes of its tables, and how old what we know of them is."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy.model.cloud import CloudStatus
from flanpy.status.metrics.families import counter, gauge, gauges


def cloud_counts(status: CloudStatus, *, now: float) -> Iterator[Metric]:
    """`now` is monotonic seconds."""
    calls = [(key, float(times)) for key, times in status.calls.items()]
    text = "Calls of the cloud provider's API, by action and outcome (ok, error, throttled, denied)."
    yield counter("flanpy_cloud_calls", text, ("action", "outcome"), calls)
    changes = [((what,), float(times)) for what, times in status.changes.items()]
    text = "Routes changed at the cloud provider: our own by verb, and stale ones of hosts that are gone."
    yield counter("flanpy_cloud_route_changes", text, ("change",), changes)
    if status.looked_at is not None:
        text = "Seconds since the provider's route tables were read."
        yield gauge("flanpy_cloud_age_seconds", text, now - status.looked_at)
    sizes = [((table.id,), float(table.size)) for table in status.tables]
    yield gauges("flanpy_cloud_table_routes", "Routes in a table of the provider's.", ("table",), sizes)
    standing = status.standing is not None
    yield gauge("flanpy_cloud_route_standing", "1 while our own route stands as far as is known.", standing)
