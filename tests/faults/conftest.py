"""Labs for faults, as in tests/lab; each failure comes with the daemons' last log lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from integration.lab import Lab, Stream
from tests.lab import conftest as labs
from tests.lab.conftest import build_lab, lab, shared_lab

__all__ = ["build_lab", "lab", "shared_lab"]


@pytest.fixture
def stream(lab: Lab) -> Iterator[Stream]:
    """From the second host to the first."""
    with Stream(lab.hosts[1].containers[0], lab.hosts[0].containers[0]) as running:
        running.wait_flowing()
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed and "tests/faults" in item.nodeid:
        for standing in labs._standing:
            for host in standing.hosts:
                report.sections.append((f"{host.name} flanpyd", host.daemon.log_tail(labs.LOG_LINES)))
