"""Prometheus metrics: one Collector over the status snapshot, so that no counter is touched anywhere else.

Names have the prefix `flanpy_` and base units. What belongs to which subject stands in the modules `metrics_*`; here
they are put together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import Metric

from flanpy.status.board import StatusSnapshot
from flanpy.status.metrics.devices import devices
from flanpy.status.metrics.docker import docker
from flanpy.status.metrics.families import counter, gauge
from flanpy.status.metrics.health import health
from flanpy.status.metrics.lease import leases
from flanpy.status.metrics.networks import networks
from flanpy.status.metrics.peers import peers
from flanpy.status.metrics.tuning import tuning
from flanpy.status.metrics.work import work

__all__ = ["MoreCounts", "SnapshotCollector", "counter", "gauge", "registry"]

MoreCounts = Callable[[], Iterable[Metric]]


def registry(snapshot: Callable[[], StatusSnapshot], more_counts: MoreCounts) -> CollectorRegistry:
    """A registry with our collector and that of the process; `more_counts` adds those of etcd and the data plane."""
    own = CollectorRegistry(auto_describe=False)
    own.register(SnapshotCollector(snapshot, more_counts))
    ProcessCollector(registry=own)
    return own


class SnapshotCollector:
    """Implements prometheus_client's collector protocol."""

    def __init__(self, snapshot: Callable[[], StatusSnapshot], more_counts: MoreCounts) -> None:
        self._snapshot = snapshot
        self._more_counts = more_counts

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot()
        yield from health(snapshot)
        yield from leases(snapshot.inputs)
        yield from peers(snapshot.inputs)
        yield from work(snapshot.totals)
        yield from devices(snapshot.inputs)
        yield from docker(snapshot.inputs)
        yield from tuning(snapshot.inputs)
        yield from networks(snapshot.inputs)
        yield from self._more_counts()
