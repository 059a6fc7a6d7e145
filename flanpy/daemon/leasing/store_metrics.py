"""The etcd session's counters as metric families."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flanpy.store.record import OK, StoreStats

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


def store_counts(stats: StoreStats) -> Iterator[Metric]:
    """Requests and how long they took, renewals of our lease, listings and the state of the watch."""
    from flanpy.status.metrics.families import (  # noqa: PLC0415, with the listeners
        count,
        counter,
        gauge,
        gauges,
    )

    calls = [(key, float(times)) for key, times in stats.calls.items()]
    yield counter(
        "flanpy_store_requests", "etcd requests by operation and gRPC code.", ("operation", "code"), calls
    )
    yield _durations(stats)
    last = (((operation,), seconds) for operation, seconds in sorted(stats.latency_s.items()))
    yield gauges("flanpy_store_last_latency_seconds", "Duration of the last request.", ("operation",), last)
    renewals = stats.calls.get(("keep_alive", OK), 0)
    yield count("flanpy_lease_renewals", "Times that etcd renewed our own lease.", renewals)
    listings = [((reason,), float(times)) for reason, times in stats.resyncs.items()]
    yield counter("flanpy_store_listings", "Listings of a watched prefix, by reason.", ("reason",), listings)
    revision = stats.watch_revision
    yield gauge("flanpy_store_watch_revision", "etcd revision that the watch has come to.", revision)
    tokens = stats.tokens_renewed
    yield count("flanpy_store_token_renewals", "Times that etcd gave a new token for our password.", tokens)
    connected = stats.connected_since is not None and stats.outage_since is None
    yield gauge("flanpy_store_connected", "1 while etcd answers.", connected)


def _durations(stats: StoreStats) -> Metric:
    from flanpy.status.metrics.families import histogram  # noqa: PLC0415, with the listeners

    return histogram(
        "flanpy_store_request_duration_seconds",
        "Duration of answered requests.",
        ("operation",),
        (((operation,), took.cumulative(), took.sum) for operation, took in sorted(stats.took.items())),
    )
