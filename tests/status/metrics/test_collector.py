"""Metrics: one collector over the snapshot, whatever the snapshot is."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest
from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric

from flanpy.daemon.leasing.store_metrics import store_counts
from flanpy.docker.watcher import DockerReport
from flanpy.kernel.link_counters import Counted, LinkCounters, read_counters
from flanpy.model.address import Family
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.histogram import ROUND_TRIPS, SECONDS, Histogram
from flanpy.model.tuning import HostTuning, NeighbourTable, ReversePath
from flanpy.plan.gates import Hold
from flanpy.status.board import StatusBoard
from flanpy.status.inputs import Inputs
from flanpy.status.metrics.collector import registry
from flanpy.store.record import StoreStats
from tests.docker.values import running
from tests.fakes.clock import FakeClock
from tests.status.passes import NOW, WELL, last, link, own, passed, refused
from tests.status.samples import samples, shown

STATS = StoreStats(
    calls=MappingProxyType({("txn", "OK"): 3, ("list", "UNAVAILABLE"): 1, ("keep_alive", "OK"): 5}),
    latency_s=MappingProxyType({"txn": 0.002}),
    resyncs=MappingProxyType({"started": 2}),
    tokens_renewed=4,
    watch_revision=7,
    endpoint="http://192.0.2.1:2379",
    connected_since=1.0,
    outage_since=None,
    took=MappingProxyType({"txn": Histogram().with_one(0.002).with_one(9.0)}),
)


def _none() -> Iterable[Metric]:
    return ()


@pytest.mark.parametrize("inputs", [Inputs(), WELL, last(desired=None)], ids=["blank", "well", "unplanned"])
def test_page_is_rendered_in_both_formats_for_any_snapshot(inputs: Inputs) -> None:
    snapshot = shown(inputs)
    assert b"flanpy_ready" in generate_latest(registry(lambda: snapshot, _none))
    assert "flanpy_ready" in samples(snapshot)


def test_gauges_say_what_the_snapshot_says() -> None:
    found = samples(shown(WELL))
    expected = {
        "flanpy_ready": 1,
        "flanpy_phase|READY": 1,
        "flanpy_phase|DEGRADED": 0,
        "flanpy_node_info|vxlan|node-0|node-0|192.0.2.10|10.50.10.0/24": 1,
        "flanpy_condition_healthy|LeaseValid": 1,
        "flanpy_condition_reason_info|LeaseValid|Leased|True": 1,
        "flanpy_lease_held": 1,
        "flanpy_lease_confirmed": 1,
        "flanpy_lease_expiry_timestamp_seconds": NOW + 86_400,
        "flanpy_store_stale": 0,
        "flanpy_peers|programmed": 2,
        "flanpy_peers|failed": 0,
        "flanpy_leases": 3,
        "flanpy_held_deletions": 0,
        "flanpy_subnets|ipv4|taken": 3,
        "flanpy_subnets|ipv4|free": 252,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_exactly_one_phase_is_1_in_every_state() -> None:
    for inputs in (Inputs(), WELL, last(desired=None), own(conflict="x")):
        found = samples(shown(inputs))
        assert sum(value for name, value in found.items() if name.startswith("flanpy_phase|")) == 1


def test_every_condition_has_its_health_reason_and_time() -> None:
    found = samples(shown(own(conflict="x")))
    for kind in ConditionType:
        assert f"flanpy_condition_healthy|{kind.value}" in found
        assert found[f"flanpy_condition_last_change_timestamp_seconds|{kind.value}"] == NOW
        assert sum(name.startswith(f"flanpy_condition_reason_info|{kind.value}|") for name in found) == 1
    assert found["flanpy_condition_healthy|LeaseConflict"] == 0
    assert found["flanpy_condition_reason_info|LeaseConflict|OwnedByAnother|True"] == 1


def test_expiry_and_time_to_live_are_left_out_when_there_is_none() -> None:
    assert samples(shown(own(ttl=60.0)))["flanpy_lease_ttl_seconds"] == 60
    found = samples(shown(own(expires_at=None, ttl=60.0)))
    assert not {"flanpy_lease_expiry_timestamp_seconds", "flanpy_lease_ttl_seconds"} & found.keys()


def test_held_deletions_are_those_of_the_brake() -> None:
    assert samples(shown(last(hold=Hold(30, 40, 1))))["flanpy_held_deletions"] == 30


def test_counters_come_from_the_totals() -> None:
    board = StatusBoard(FakeClock(wall=NOW))
    board.note_pass(passed(resync="start", repairs={"route": 2}, took=0.5))
    board.note_pass(passed(resync="timer", repairs={"route": 1}, took=0.25))
    board.note_pass(passed(failures=(refused(link(), errno.ENOMEM), refused(link(), 4242))))
    found = samples(board.snapshot)
    assert found["flanpy_reconcile_pass_duration_seconds_count"] == 3
    assert found["flanpy_reconcile_pass_duration_seconds_sum"] == 0.75
    assert found["flanpy_reconcile_pass_duration_seconds_bucket|0.25"] == 2
    assert found["flanpy_repairs_total|route|start"] == 2
    assert found["flanpy_repairs_total|route|timer"] == 1
    assert found["flanpy_resyncs_total|start"] == found["flanpy_resyncs_total|timer"] == 1
    assert found["flanpy_kernel_errors_total|ENOMEM|link"] == 1
    assert found["flanpy_kernel_errors_total|4242|link"] == 1


def test_counts_of_the_etcd_session_are_on_the_page() -> None:
    found = samples(shown(WELL), list(store_counts(STATS)))
    expected = {
        "flanpy_store_requests_total|OK|txn": 3,
        "flanpy_store_requests_total|UNAVAILABLE|list": 1,
        "flanpy_store_last_latency_seconds|txn": 0.002,
        "flanpy_store_request_duration_seconds_bucket|0.0025|txn": 1,
        "flanpy_store_request_duration_seconds_bucket|+Inf|txn": 2,
        "flanpy_store_request_duration_seconds_sum|txn": 9.002,
        "flanpy_store_listings_total|started": 2,
        "flanpy_store_watch_revision": 7,
        "flanpy_store_token_renewals_total": 4,
        "flanpy_lease_renewals_total": 5,
        "flanpy_store_connected": 1,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_docker_matches_only_while_its_condition_is_true() -> None:
    for status in Status:
        condition = Condition(ConditionType.DOCKER_CONSISTENT, status, "Any", "any", healthy=False)
        found = samples(shown(replace(WELL, docker=DockerReport(condition, running()))))
        assert found["flanpy_docker_matches"] == (status is Status.TRUE)
    asked_in_vain = samples(shown(replace(WELL, docker=DockerReport(condition, None))))
    assert asked_in_vain["flanpy_docker_answers"] == 0
    assert "flanpy_docker_matches" not in asked_in_vain


def test_tuning_is_told_by_family_once_it_was_looked_at() -> None:
    tables = (NeighbourTable(Family.IPV4, 1024, 2000, 7), NeighbourTable(Family.IPV6, 512))
    found = samples(shown(replace(WELL, tuning=HostTuning(ReversePath(drops=9), tables))))
    expected = {
        "flanpy_neighbours_limit|ipv4": 1024,
        "flanpy_neighbours_limit|ipv6": 512,
        "flanpy_neighbours_needed|ipv4": 2000,
        "flanpy_neighbours_refused_total|ipv4": 7,
        "flanpy_reverse_path_drops_total": 9,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert not [name for name in samples(shown(WELL)) if name.startswith("flanpy_neighbours")]


PROC_NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
flannel.1: 18446744073709551615 11 12 13 0 0 0 0 20 21 22 23 0 0 0 0
 eth0:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0
"""  # noqa: E501 - as the kernel writes it


def test_counters_of_a_link_are_read_whatever_their_width(tmp_path: Path) -> None:
    file = tmp_path / "dev"
    file.write_text(PROC_NET_DEV)
    found = read_counters({"flannel.1", "gone"}, file)
    assert found == {"flannel.1": LinkCounters(Counted(2**64 - 1, 11, 12, 13), Counted(20, 21, 22, 23))}
    assert read_counters({"eth0"}, file)["eth0"].sent == Counted(5, 6, 7, 8)
    assert read_counters({"flannel.1"}, tmp_path / "none") == {}


def test_counters_of_loopback_are_read_from_the_kernel() -> None:
    assert read_counters({"lo"})["lo"].sent.packets >= 0


def test_histogram_counts_a_value_on_a_bound_within_it() -> None:
    found = Histogram().with_one(0.001).with_one(0.0011).with_one(99.0)
    counts = dict(found.cumulative())
    assert list(counts) == [*SECONDS, float("inf")]
    assert (counts[0.001], counts[0.0025], counts[5.0], counts[float("inf")]) == (1, 2, 2, 3)
    assert (found.count, round(found.sum, 4)) == (3, 99.0021)


def test_histogram_of_round_trips_tells_hosts_on_one_switch_apart() -> None:
    found = dict(Histogram.of(ROUND_TRIPS).with_one(0.0002).with_one(0.0004).cumulative())
    assert (found[0.0001], found[0.00025], found[0.0005], found[float("inf")]) == (0, 1, 2, 2)
