"""A real Prometheus and what probes tell it: the matrix of who reaches whom, and the alert that names the pair."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.overlay import eventually
from tests.monitoring.test_dashboards import expressions
from tests.monitoring.watched import PATIENCE_S, Watched, watched_lab

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

SERIES = (
    'flanpy_peers_reach{reach="reachable"} == 2',
    'flanpy_loss_ratio{layer="overlay"} == 0',
    "flanpy_rtt_seconds_count > 0",
    "flanpy_probe_packets_total > 0",
    "flanpy_probe_problem == 0",
)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with watched_lab("--probe-interval=1") as found:
        yield found


def test_probes_are_told_by_every_host(watched: Watched) -> None:
    watched.wait_until_all_show(SERIES)


def test_matrix_of_the_fleet_has_every_pair(watched: Watched) -> None:
    matrix = next(one for one in expressions("fleet") if one.startswith("flanpy_peer_reachable"))
    names = [host.name for host in watched.lab.hosts]
    pairs = {(one, other) for one in names for other in names if one != other}

    def cells() -> set[tuple[str, str]]:
        return {(labels["node"], labels["peer"]) for labels, _ in watched.prometheus.query(matrix)}

    eventually(lambda: cells() == pairs, lambda: str(cells()), deadline=PATIENCE_S)


def test_alert_comes_with_a_blocked_port_names_the_pair_and_clears_with_the_cure(watched: Watched) -> None:
    first, second, third = watched.lab.hosts
    alerts = watched.on("FlanpyPeersUnreachable", first, second)
    watched.wait_until_all_show(SERIES)
    watched.wait_until_cleared(watched.on("FlanpyPeersUnreachable", *watched.lab.hosts))
    ports = f"{{ {first.seat.port}, {second.seat.port} }}"
    with watched.lab.faults.drop_on_switch(f"iifname {ports} oifname {ports} udp dport 8472"):
        watched.wait_until_firing(alerts)
        said = watched.prometheus.description("FlanpyPeersUnreachable", watched.prometheus.target(first))
        assert second.name in said
        assert third.name not in said
        assert not watched.on("FlanpyPeersUnreachable", third) & watched.prometheus.firing()
    watched.wait_until_cleared(alerts)
