"""The package of the source as it is, and hosts to put it on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import package
from integration.hosts.systemd.lab import SystemdLab


@pytest.fixture(scope="session")
def deb() -> Path:
    return package.built()


@pytest.fixture(scope="module")
def lab() -> Iterator[SystemdLab]:
    with SystemdLab(hosts=2) as made:
        made.configure()
        made.boot()
        yield made
