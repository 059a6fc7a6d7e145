"""Labs for tests: one shared by a module, and private ones; each failure comes with the daemons' last log lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from integration.lab import Lab
from tests.lab.overlay import assert_settled

LOG_LINES = 25

_standing: list[Lab] = []


class BuildLab(Protocol):
    """Builds a lab that ends with the test; no daemon runs in it yet."""

    def __call__(
        self, hosts: int = 2, etcd_members: int = 1, *, segments: int = 1, mtu: int = 1500, ipv6: bool = False
    ) -> Lab: ...


def _built(stack: ExitStack, *sizes: int, **options: Any) -> Lab:
    lab = stack.enter_context(Lab(*sizes, **options))
    _standing.append(lab)
    stack.callback(_standing.remove, lab)
    return lab


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[Lab]:
    """Three hosts with flanpyd and a container each, for a whole module: take it as `lab`."""
    with ExitStack() as stack:
        lab = _built(stack, 3)
        lab.configure()
        lab.start_daemons()
        lab.attach_containers()
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """The module's lab, healthy before the test. A test that ends well must leave it healthy: the next one sees."""
    for host in shared_lab.hosts:
        if not host.daemon.running:
            host.daemon.up()
    assert_settled(shared_lab)
    yield shared_lab


@pytest.fixture
def build_lab() -> Iterator[BuildLab]:
    """For a test that needs a lab of its own shape, or breaks it for good."""
    with ExitStack() as stack:

        def build(hosts: int = 2, etcd_members: int = 1, **options: Any) -> Lab:
            return _built(stack, hosts, etcd_members, **options)

        yield build


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed and "tests/lab" in item.nodeid:
        for lab in _standing:
            for host in lab.hosts:
                report.sections.append((f"{host.name} flanpyd", host.daemon.log_tail(LOG_LINES)))
