"""Metrics: one collector over the snapshot, whatever the snapshot is."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics

from flanpy.daemon.store_metrics import store_counts
from flanpy.plan.gates import Hold
from flanpy.status.board import StatusBoard, StatusSnapshot
from flanpy.status.inputs import Inputs
from flanpy.status.metrics import registry
from flanpy.store.record import StoreStats
from tests.fakes.clock import FakeClock
from tests.status.passes import NOW, WELL, last, own, passed

STATS = StoreStats(
    calls=MappingProxyType({("txn", "OK"): 3, ("list", "UNAVAILABLE"): 1}),
    latency_s=MappingProxyType({"txn": 0.002}),
    resyncs=MappingProxyType({"started": 2}),
    tokens_renewed=0,
    watch_revision=7,
    endpoint="http://192.0.2.1:2379",
    connected_since=1.0,
    outage_since=None,
)


def _none() -> Iterable[Metric]:
    return ()


def _samples(snapshot: StatusSnapshot, counts: Iterable[Metric] = ()) -> dict[str, float]:
    """Samples by name with labels, as OpenMetrics' own parser, which is strict, reads them."""
    text = generate_openmetrics(registry(lambda: snapshot, lambda: counts)).decode()  # type: ignore[no-untyped-call]
    return {
        sample.name + "".join(f"|{value}" for _, value in sorted(sample.labels.items())): sample.value
        for family in read_openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
    }


def _shown(inputs: Inputs) -> StatusSnapshot:
    board = StatusBoard(FakeClock(wall=NOW))
    board.note(**{name: getattr(inputs, name) for name in Inputs.__slots__})
    if inputs.last is not None:
        board.note_pass(inputs.last)
    return board.snapshot


@pytest.mark.parametrize("inputs", [Inputs(), WELL, last(desired=None)], ids=["blank", "well", "unplanned"])
def test_page_is_rendered_in_both_formats_for_any_snapshot(inputs: Inputs) -> None:
    snapshot = _shown(inputs)
    assert b"flanpy_ready" in generate_latest(registry(lambda: snapshot, _none))
    assert "flanpy_ready" in _samples(snapshot)


def test_gauges_say_what_the_snapshot_says() -> None:
    found = _samples(_shown(WELL))
    expected = {
        "flanpy_ready": 1,
        "flanpy_phase|READY": 1,
        "flanpy_phase|DEGRADED": 0,
        "flanpy_condition_healthy|LeaseValid": 1,
        "flanpy_lease_held": 1,
        "flanpy_lease_confirmed": 1,
        "flanpy_lease_expiry_timestamp_seconds": NOW + 86_400,
        "flanpy_store_stale": 0,
        "flanpy_peers|programmed": 2,
        "flanpy_peers|failed": 0,
        "flanpy_leases": 3,
        "flanpy_held_deletions": 0,
    }
    assert {name: found[name] for name in expected} == expected


def test_exactly_one_phase_is_1_in_every_state() -> None:
    for inputs in (Inputs(), WELL, last(desired=None), own(conflict="x")):
        found = _samples(_shown(inputs))
        assert sum(value for name, value in found.items() if name.startswith("flanpy_phase|")) == 1


def test_expiry_is_left_out_when_there_is_none() -> None:
    assert "flanpy_lease_expiry_timestamp_seconds" not in _samples(_shown(own(expires_at=None)))


def test_held_deletions_are_those_of_the_brake() -> None:
    assert _samples(_shown(last(hold=Hold(30, 40, 1))))["flanpy_held_deletions"] == 30


def test_counters_come_from_the_totals() -> None:
    board = StatusBoard(FakeClock(wall=NOW))
    board.note_pass(passed(resync="start", repairs={"route": 2}, took=0.5))
    board.note_pass(passed(resync="timer", took=0.25))
    found = _samples(board.snapshot)
    assert found["flanpy_reconcile_pass_duration_seconds_count"] == 2
    assert found["flanpy_reconcile_pass_duration_seconds_sum"] == 0.75
    assert found["flanpy_repairs_total|route"] == 2
    assert found["flanpy_resyncs_total|start"] == found["flanpy_resyncs_total|timer"] == 1


def test_counts_of_the_etcd_session_are_on_the_page() -> None:
    found = _samples(_shown(WELL), list(store_counts(STATS)))
    assert found["flanpy_store_requests_total|OK|txn"] == 3
    assert found["flanpy_store_requests_total|UNAVAILABLE|list"] == 1
    assert found["flanpy_store_last_latency_seconds|txn"] == 0.002
    assert found["flanpy_store_listings_total|started"] == 2
    assert found["flanpy_store_connected"] == 1
