"""The last log lines of flanpyd and dockerd of every lab that stands, for a test that failed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from integration.hosts.engines import DockerLab

LOG_LINES = 25

_standing: list[DockerLab] = []


@contextmanager
def standing(lab: DockerLab) -> Iterator[None]:
    """While left open, failures come with this lab's logs."""
    _standing.append(lab)
    try:
        yield
    finally:
        _standing.remove(lab)


def add_logs(report: pytest.TestReport) -> None:
    """Add the lines to a report."""
    for lab in _standing:
        for host in lab.hosts:
            report.sections.append((f"{host.name} flanpyd", host.daemon.log_tail(LOG_LINES)))
            report.sections.append((f"{host.name} dockerd", host.engine.log_tail(LOG_LINES)))
