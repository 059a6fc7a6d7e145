"""Short ways to write a metric family. Knows prometheus_client, and nothing of what is measured."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.utils import INF

Labelled = Iterable[tuple[tuple[str, ...], float]]
"""Pairs of label values and value."""

Buckets = Iterable[tuple[float, float]]
"""Pairs of upper bound, infinity last, and number of observations up to it."""


def gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def gauges(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    """A gauge with labels, in the order of `values`."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def count(name: str, text: str, value: float) -> Metric:
    """A counter without labels; its name here is without `_total`."""
    return CounterMetricFamily(name, text, value)


def counter(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    """A counter with labels; its name here is without `_total`."""
    family = CounterMetricFamily(name, text, labels=labels)
    for label_values, value in sorted(values):
        family.add_metric(label_values, value)
    return family


def info(name: str, text: str, **labels: str) -> Metric:
    """Return a family whose facts are its labels; `name` is without `_info`."""
    return InfoMetricFamily(name, text, labels)


def histogram(
    name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], Buckets, float]]
) -> Metric:
    """A histogram; `values` are label values, cumulative buckets and the sum of all observations."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for label_values, buckets, total in values:
        bounds = [(_bound(bound), float(below)) for bound, below in buckets]
        family.add_metric(label_values, bounds, total)
    return family


def _bound(seconds: float) -> str:
    return "+Inf" if seconds == INF else str(seconds)
