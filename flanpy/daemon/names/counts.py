"""Metrics of names and of the resolver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from flanpy.names.resolver.counts import ResolverCounts


def names_counts(names: Mapping[str, int], published: int, asked: ResolverCounts | None) -> Iterator[Metric]:
    """Yield the families; those of the resolver only where it runs."""
    from flanpy.status.metrics.families import (  # noqa: PLC0415, with the listeners
        count,
        counter,
        gauges,
        histogram,
    )

    known = [((network,), float(number)) for network, number in names.items()]
    yield gauges("flanpy_names", "Names of containers known here, by network.", ("network",), known)
    yield count("flanpy_names_published", "Times that this host's names were written to etcd.", published)
    if asked is None:
        return
    results = [((outcome.value,), float(number)) for outcome, number in asked.questions.items()]
    yield counter("flanpy_dns_queries", "Questions to the resolver, by result.", ("result",), results)
    yield histogram(
        "flanpy_dns_seconds",
        "Duration of answers, own and forwarded.",
        (),
        (((), asked.seconds.cumulative(), asked.seconds.sum),),
    )
