"""A real Prometheus beside three hosts: what it sees, and alerts that come with a fault and go with its cure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.overlay import eventually
from tests.monitoring.test_dashboards import NAMES, expressions
from tests.monitoring.watched import PATIENCE_S, Watched, watched_lab

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SERIES = (
    "flanpy_ready == 1",
    "flanpy_build_info",
    "flanpy_node_info",
    'flanpy_condition_healthy{condition="LeaseValid"} == 1',
    "flanpy_lease_expiry_timestamp_seconds > time()",
    "flanpy_lease_ttl_seconds > 0",
    'flanpy_peers{state="programmed"} == 2',
    'flanpy_subnets{state="free"} > 0',
    "flanpy_store_connected == 1",
    'flanpy_store_request_duration_seconds_count{operation="txn"} > 0',
    "flanpy_reconcile_pass_duration_seconds_count > 0",
    'flanpy_device_mtu_bytes{device="flannel.1"} == 1450',
    'flanpy_device_receive_bytes_total{device="flannel.1"}',
    "flanpy_probe_rounds_total",
    "process_resident_memory_bytes > 0",
)
"""Each of these must be true of each of the three hosts."""


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with watched_lab() as found:
        yield found


def test_all_hosts_are_scraped_with_the_series_that_matter(watched: Watched) -> None:
    eventually(
        lambda: watched.prometheus.targets_up() == watched.instances,
        lambda: str(watched.prometheus.ask("targets")),
        deadline=PATIENCE_S,
    )
    watched.wait_until_all_show(SERIES)


def test_every_query_of_the_dashboards_is_answered(watched: Watched) -> None:
    for name in NAMES:
        for expression in expressions(name):
            watched.prometheus.query(expression)


def test_alert_comes_when_etcd_is_silent_and_clears_when_it_answers(watched: Watched) -> None:
    alerts = watched.on("FlanpyDatastoreUnreachable", *watched.lab.hosts)
    watched.wait_until_cleared(alerts)
    watched.lab.etcd.freeze()
    try:
        watched.wait_until_firing(alerts)
    finally:
        watched.lab.etcd.thaw()
    watched.wait_until_cleared(alerts)


def test_alert_comes_when_a_daemon_is_gone_and_clears_when_it_is_back(watched: Watched) -> None:
    host = watched.lab.hosts[2]
    down = watched.on("FlanpyDown", host)
    watched.wait_until_cleared(down)
    host.daemon.kill()
    watched.wait_until_firing(down)
    watched.start(host)
    watched.wait_until_cleared(down)
