"""Labs for tests: one shared by a module, and private ones; each failure comes with the daemons' last log lines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from integration.lab import Lab, LabError
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


class SharedLab:
    """Three hosts with flanpyd and a container each, for a whole module; built again if a test left it broken."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._lab: Lab | None = None

    def healthy(self) -> Lab:
        """The lab, once all is as it must be."""
        if self._lab is not None:
            try:
                _wake(self._lab)
            except (AssertionError, LabError):
                self.close()
            else:
                return self._lab
        self._lab = _built(self._stack, 3)
        self._lab.configure()
        self._lab.start_daemons()
        self._lab.attach_containers()
        _wake(self._lab)
        return self._lab

    def close(self) -> None:
        self._stack.close()
        self._lab = None


def _wake(lab: Lab) -> None:
    for host in lab.hosts:
        if not host.daemon.running:
            host.daemon.up()
    assert_settled(lab)


@pytest.fixture(scope="module")
def shared_lab() -> Iterator[SharedLab]:
    """Take it as `lab`."""
    shared = SharedLab()
    try:
        yield shared
    finally:
        shared.close()


@pytest.fixture
def lab(shared_lab: SharedLab) -> Lab:
    """The module's lab, healthy. A test leaves it healthy, or at least mendable by a new one."""
    return shared_lab.healthy()


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
