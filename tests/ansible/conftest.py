"""The package, once for all, and hosts that have booted with an operator who may get in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from integration import package
from integration.hosts.systemd.lab import SystemdLab
from tests.ansible.controller import Controller


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package that hosts are given."""
    return package.built()


@contextmanager
def operated(hosts: int, directory: Path, suite: str = "bookworm") -> Iterator[Controller]:
    """Hosts that have booted, and an operator who may get in."""
    with ExitStack() as stack:
        lab = stack.enter_context(SystemdLab(hosts, suite=suite))
        lab.boot()
        controller = Controller(lab, directory)
        stack.callback(controller.leave)
        controller.admit(lab.hosts)
        yield controller
