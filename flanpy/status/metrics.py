"""Prometheus metrics: one Collector over the status snapshot, so that no counter is touched anywhere else.

Names have the prefix `flanpy_` and base units. Series per peer are left out: at 1,000 peers they cost more to render
than they tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric

from flanpy import __version__
from flanpy.status.board import StatusSnapshot
from flanpy.status.conditions import Phase
from flanpy.status.inputs import Inputs, OwnSource, Totals
from flanpy.status.report import peer_counts
from flanpy.store.allocation import usage

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
        yield InfoMetricFamily("flanpy_build", "Version of flanpy.", {"version": __version__})
        yield from _health(snapshot)
        yield from _lease(snapshot.inputs)
        yield from _peers(snapshot.inputs)
        yield from _pool(snapshot.inputs)
        yield from _work(snapshot.totals)
        yield from _docker(snapshot.inputs)
        yield from self._more_counts()


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def counter(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """A counter family; `values` are pairs of label values and count."""
    family = CounterMetricFamily(name, text, labels=labels)
    for label_values, value in sorted(values):
        family.add_metric(label_values, value)
    return family


def _health(snapshot: StatusSnapshot) -> Iterator[Metric]:
    yield gauge("flanpy_ready", "1 if containers of this host can use the overlay now.", snapshot.ready)
    phase = GaugeMetricFamily("flanpy_phase", "1 for the phase the daemon is in.", labels=("phase",))
    for each in Phase:
        phase.add_metric((each.value,), float(each is snapshot.phase))
    yield phase
    healthy = GaugeMetricFamily(
        "flanpy_condition_healthy", "1 if a condition is as it should be.", labels=("condition",)
    )
    since = GaugeMetricFamily(
        "flanpy_condition_last_change_timestamp_seconds",
        "When a condition changed last.",
        labels=("condition",),
    )
    for condition in snapshot.conditions:
        healthy.add_metric((condition.type.value,), float(condition.healthy))
        since.add_metric((condition.type.value,), condition.since)
    yield healthy
    yield since


def _lease(inputs: Inputs) -> Iterator[Metric]:
    own = inputs.own
    held = own.lease is not None
    yield gauge("flanpy_lease_held", "1 if this host holds a subnet.", held)
    confirmed = held and own.source is OwnSource.ETCD
    yield gauge("flanpy_lease_confirmed", "1 if etcd has confirmed the lease since start.", confirmed)
    if own.expires_at is not None:
        yield gauge("flanpy_lease_expiry_timestamp_seconds", "When our own lease ends.", own.expires_at)
    stale = inputs.store.stale
    yield gauge("flanpy_store_stale", "1 while the watch on etcd is lost.", stale)


def _peers(inputs: Inputs) -> Iterator[Metric]:
    peers = GaugeMetricFamily("flanpy_peers", "Peers by what became of them here.", labels=("state",))
    counts = peer_counts(inputs.last)
    for state in ("programmed", "pending", "failed", "rejected"):
        peers.add_metric((state,), counts[state])
    yield peers
    view = inputs.last.world.view if inputs.last else None
    leases = view.leases.values() if view else ()
    yield gauge("flanpy_leases", "Valid leases in etcd, ours among them.", len(leases))
    yield gauge("flanpy_leases_reserved", "Leases that never expire.", sum(x.is_reservation for x in leases))
    yield gauge(
        "flanpy_leases_invalid", "Keys that cannot be read as leases.", len(view.invalid) if view else 0
    )
    yield gauge("flanpy_store_revision", "etcd revision of the last news.", view.revision if view else 0)
    yield gauge("flanpy_held_deletions", "Peers whose removal the brake holds.", _held(inputs))
    conflicts = len(inputs.last.decision.difference.conflicts) if inputs.last else 0
    yield gauge("flanpy_foreign_conflicts", "Foreign kernel objects where ours should stand.", conflicts)


def _pool(inputs: Inputs) -> Iterator[Metric]:
    if inputs.network is None or inputs.last is None:
        return
    family = GaugeMetricFamily(
        "flanpy_subnets", "Subnets of the network, taken and free.", labels=("family", "state")
    )
    for name, used in zip(("ipv4", "ipv6"), usage(inputs.network, inputs.last.world.view), strict=True):
        if used is not None:
            family.add_metric((name, "taken"), used.taken)
            family.add_metric((name, "free"), used.free)
    yield family


def _held(inputs: Inputs) -> int:
    hold = inputs.last.decision.hold if inputs.last else None
    return hold.peers if hold else 0


def _work(totals: Totals) -> Iterator[Metric]:
    yield SummaryMetricFamily(
        "flanpy_reconcile_pass_duration_seconds", "Reconcile passes.", totals.passes, totals.pass_seconds
    )
    ops = [(key, float(count)) for key, count in totals.ops.items()]
    yield counter("flanpy_kernel_operations", "Kernel changes by object and verb.", ("object", "verb"), ops)
    errors = [((str(errno),), float(count)) for errno, count in totals.errors.items()]
    yield counter("flanpy_kernel_errors", "Kernel changes refused, by errno.", ("errno",), errors)
    repairs = _by_label(totals.repairs)
    yield counter("flanpy_repairs", "Objects restored after others changed them.", ("object",), repairs)
    resyncs = _by_label(totals.resyncs)
    yield counter("flanpy_resyncs", "Read-backs of the kernel, by reason.", ("reason",), resyncs)


def _docker(inputs: Inputs) -> Iterator[Metric]:
    """Whether it runs as it should is flanpy_condition_healthy{condition="DockerConsistent"}."""
    report = inputs.docker
    if report is None:
        return
    found = report.found
    yield gauge("flanpy_docker_answers", "1 if the Docker of this host could be asked.", found is not None)
    if found is not None:
        yield InfoMetricFamily("flanpy_docker", "Docker's version.", {"version": str(found.version)})
        yield gauge("flanpy_docker_live_restore", "1 if live-restore is on.", found.live_restore)
        text = "Running containers whose MTU is over the overlay's."
        yield gauge("flanpy_docker_containers_over_mtu", text, report.over_mtu)


def _by_label(counts: Mapping[str, int]) -> list[tuple[tuple[str, ...], float]]:
    return [((label,), float(count)) for label, count in counts.items()]
