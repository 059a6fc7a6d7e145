"""Metrics of work: reconcile passes, changes of the kernel, repairs and read-backs since start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from errno import errorcode

from prometheus_client.metrics_core import Metric

from flanpy.status.inputs import Totals
from flanpy.status.metrics.families import counter, histogram


def work(totals: Totals) -> Iterator[Metric]:
    took = totals.pass_took
    yield histogram(
        "flanpy_reconcile_pass_duration_seconds", "Reconcile passes.", (), [((), took.cumulative(), took.sum)]
    )
    ops = _floats(totals.ops)
    yield counter("flanpy_kernel_operations", "Kernel changes by object and verb.", ("object", "verb"), ops)
    errors = [((kind, _name(errno)), float(times)) for (kind, errno), times in totals.refusals.items()]
    yield counter("flanpy_kernel_errors", "Kernel changes refused.", ("object", "errno"), errors)
    yield counter(
        "flanpy_repairs",
        "Objects restored after others changed them, by what made us look.",
        ("object", "reason"),
        _floats(totals.repairs_by_reason),
    )
    resyncs = [((reason,), float(times)) for reason, times in totals.resyncs.items()]
    yield counter("flanpy_resyncs", "Read-backs of the kernel, by reason.", ("reason",), resyncs)


def _floats(counts: Mapping[tuple[str, str], int]) -> list[tuple[tuple[str, ...], float]]:
    return [(key, float(times)) for key, times in counts.items()]


def _name(errno: int) -> str:
    return errorcode.get(errno, str(errno))
