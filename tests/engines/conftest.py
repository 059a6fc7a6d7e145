"""Labs with real Docker engines; each failure comes with the last log lines of flanpyd and dockerd."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import pytest

from integration.hosts.engines import SYSTEM, DockerLab

LOG_LINES = 25

_standing: list[DockerLab] = []


class BuildDockerLab(Protocol):
    """Builds a lab that ends with the test; neither flanpyd nor dockerd runs in it yet."""

    def __call__(self, hosts: int = 2, *, engine: str = SYSTEM, legacy: bool = False) -> DockerLab: ...


@contextmanager
def standing(lab: DockerLab) -> Iterator[None]:
    """While left open, failures come with this lab's logs."""
    _standing.append(lab)
    try:
        yield
    finally:
        _standing.remove(lab)


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
        for lab in _standing:
            for host in lab.hosts:
                report.sections.append((f"{host.name} flanpyd", host.daemon.log_tail(LOG_LINES)))
                report.sections.append((f"{host.name} dockerd", host.engine.log_tail(LOG_LINES)))
