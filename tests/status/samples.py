"""A snapshot's metrics as OpenMetrics' own parser, which is strict, reads them."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from flanpy.status.board import StatusBoard, StatusSnapshot
from flanpy.status.inputs import Inputs
from flanpy.status.metrics.collector import registry
from tests.fakes.clock import FakeClock
from tests.status.passes import NOW


def samples(snapshot: StatusSnapshot, counts: Iterable[Metric] = ()) -> dict[str, float]:
    """Samples by name with label values, in the order of the labels' names."""
    text = generate_latest(registry(lambda: snapshot, lambda: counts)).decode()  # type: ignore[no-untyped-call]
    return {
        sample.name + "".join(f"|{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def shown(inputs: Inputs) -> StatusSnapshot:
    """The snapshot of a board that was told all of it."""
    board = StatusBoard(FakeClock(wall=NOW))
    board.note(**{name: getattr(inputs, name) for name in Inputs.__slots__})
    if inputs.last is not None:
        board.note_pass(inputs.last)
    return board.snapshot
