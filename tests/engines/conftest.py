"""Labs with real Docker engines; each failure comes with the last log lines of flanpyd and dockerd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from integration.hosts.engines import SYSTEM, DockerLab
from tests.docker_logs import add_logs, standing


class BuildDockerLab(Protocol):
    """Builds a lab that ends with the test; neither flanpyd nor dockerd runs in it yet."""

    def __call__(self, hosts: int = 2, *, engine: str = SYSTEM, legacy: bool = False) -> DockerLab: ...


@pytest.fixture
def build_lab() -> Iterator[BuildDockerLab]:
    """Hosts with an engine each."""
    with ExitStack() as stack:

        def build(hosts: int = 2, **options: Any) -> DockerLab:
            lab = stack.enter_context(DockerLab(hosts, **options))
            stack.enter_context(standing(lab))
            return lab

        yield build


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed and "tests/engines" in item.nodeid:
        add_logs(report)
