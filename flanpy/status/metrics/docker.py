"""Metrics of the Docker on this host: whether it answers, runs what the overlay wants, and which it is."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy.model.condition import Status
from flanpy.status.inputs import Inputs
from flanpy.status.metrics.families import gauge, info


def docker(inputs: Inputs) -> Iterator[Metric]:
    """`flanpy_docker_matches` is about settings; whether its rules let packets pass, the condition says, too."""
    report = inputs.docker
    if report is None:
        return
    found = report.found
    yield gauge("flanpy_docker_answers", "1 if the Docker of this host could be asked.", found is not None)
    if found is None:
        return
    matches = report.condition.status is Status.TRUE
    yield gauge("flanpy_docker_matches", "1 if Docker runs with our subnet and MTU.", matches)
    yield info("flanpy_docker", "Docker's version.", version=str(found.version))
    yield gauge("flanpy_docker_live_restore", "1 if live-restore is on.", found.live_restore)
    yield gauge("flanpy_docker_running_containers", "Containers that run.", found.running)
    text = "Running containers whose MTU is over the overlay's."
    yield gauge("flanpy_docker_containers_over_mtu", text, report.over_mtu)
