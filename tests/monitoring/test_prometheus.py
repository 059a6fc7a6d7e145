"""A real Prometheus beside three hosts: what it sees, and the alert that comes and goes with a blocked port."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from integration.lab import Lab
from integration.monitoring import Prometheus
from tests.lab.overlay import eventually
from tests.monitoring.test_dashboards import NAMES, expressions

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

PATIENCE_S = 30.0

SERIES = (
    "flanpy_ready == 1",
    "flanpy_build_info",
    "flanpy_node_info",
    'flanpy_condition_healthy{condition="LeaseValid"} == 1',
    "flanpy_lease_expiry_timestamp_seconds > time()",
    'flanpy_peers{state="programmed"} == 2',
    'flanpy_subnets{state="free"} > 0',
    "flanpy_store_connected == 1",
    'flanpy_store_request_duration_seconds_count{operation="txn"} > 0',
    "flanpy_reconcile_pass_duration_seconds_count > 0",
    'flanpy_device_mtu_bytes{device="flannel.1"} == 1450',
    'flanpy_device_receive_bytes_total{device="flannel.1"}',
    'flanpy_peers_reach{reach="reachable"} == 2',
    "flanpy_rtt_seconds_count > 0",
    "process_resident_memory_bytes > 0",
)
"""Each of these must be true of each of the three hosts."""


class Watched:
    """Three hosts whose metrics a Prometheus can reach."""

    def __init__(self, lab: Lab, prometheus: Prometheus) -> None:
        self.lab = lab
        self.prometheus = prometheus
        self.instances = {prometheus.target(host) for host in lab.hosts}

    def seen(self, expression: str) -> set[str]:
        return {labels["instance"] for labels, _ in self.prometheus.query(expression)}

    def all_see(self, expression: str) -> bool:
        return self.seen(expression) == self.instances


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with Lab(3) as lab:
        lab.configure()
        for host in lab.hosts:
            host.daemon.launch("--probe-interval=1", env={"FLANPYD_METRICS_LISTEN": Prometheus.target(host)})
        for host in lab.hosts:
            host.daemon.wait_ready()
        with Prometheus(lab) as prometheus:
            yield Watched(lab, prometheus)


def _quiet(watched: Watched) -> bool:
    return not {alert for alert, _ in watched.prometheus.firing()} & {"FlanpyPeersUnreachable", "FlanpyDown"}


def test_all_hosts_are_scraped_with_the_series_that_matter(watched: Watched) -> None:
    eventually(
        lambda: watched.prometheus.targets_up() == watched.instances,
        lambda: str(watched.prometheus.ask("targets")),
        deadline=PATIENCE_S,
    )
    missing = list(SERIES)

    def all_there() -> bool:
        missing[:] = [each for each in missing if not watched.all_see(each)]
        return not missing

    eventually(all_there, lambda: f"not on every host: {missing}", deadline=PATIENCE_S)


def test_every_query_of_the_dashboards_is_answered_and_the_matrix_has_every_pair(watched: Watched) -> None:
    for name in NAMES:
        for expression in expressions(name):
            watched.prometheus.query(expression)
    matrix = next(one for one in expressions("fleet") if one.startswith("flanpy_peer_reachable"))
    names = [host.name for host in watched.lab.hosts]
    pairs = {(one, other) for one in names for other in names if one != other}

    def cells() -> set[tuple[str, str]]:
        return {(labels["node"], labels["peer"]) for labels, _ in watched.prometheus.query(matrix)}

    eventually(lambda: cells() == pairs, lambda: str(cells()), deadline=PATIENCE_S)


def test_alert_comes_with_a_blocked_port_names_the_pair_and_clears_with_the_cure(watched: Watched) -> None:
    first, second, third = watched.lab.hosts
    prometheus = watched.prometheus
    pair = {("FlanpyPeersUnreachable", prometheus.target(host)) for host in (first, second)}
    eventually(lambda: _quiet(watched), lambda: str(prometheus.firing()), deadline=PATIENCE_S)
    ports = (first.seat.port, second.seat.port)
    match = (
        " ".join(f"{direction}ifname {{ {ports[0]}, {ports[1]} }}" for direction in "io") + " udp dport 8472"
    )
    with watched.lab.faults.drop_on_switch(match):
        eventually(lambda: pair <= prometheus.firing(), lambda: str(prometheus.firing()), deadline=PATIENCE_S)
        assert "h2" in prometheus.description("FlanpyPeersUnreachable", prometheus.target(first))
        assert ("FlanpyPeersUnreachable", prometheus.target(third)) not in prometheus.firing()
    eventually(lambda: _quiet(watched), lambda: str(prometheus.firing()), deadline=PATIENCE_S)


def test_alert_comes_when_a_daemon_is_gone_and_clears_when_it_is_back(watched: Watched) -> None:
    host = watched.lab.hosts[2]
    down = ("FlanpyDown", watched.prometheus.target(host))
    host.daemon.kill()
    eventually(
        lambda: down in watched.prometheus.firing(),
        lambda: str(watched.prometheus.firing()),
        deadline=PATIENCE_S,
    )
    host.daemon.up("--probe-interval=1", env={"FLANPYD_METRICS_LISTEN": watched.prometheus.target(host)})
    eventually(
        lambda: down not in watched.prometheus.firing(),
        lambda: str(watched.prometheus.firing()),
        deadline=PATIENCE_S,
    )
