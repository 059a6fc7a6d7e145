"""Hosts that boot systemd, with flanpy installed as on a real host; a failure comes with what their journals say."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from integration.hosts.systemd import SystemdLab
from integration.hosts.systemd.program import lay_program, lay_service
from integration.lab import LabError

LOG_LINES = 30

_standing: list[SystemdLab] = []


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the program and its units, to be laid over the hosts' file system."""
    tree = tmp_path_factory.mktemp("layer")
    # A host's users pass through its root directory. The directory of everybody's temporary files stays as it is.
    for directory in (tree, *(each for each in tree.parents if Path(tempfile.gettempdir()) in each.parents)):
        directory.chmod(0o755)
    return lay_service(lay_program(tree))


@contextmanager
def installed(layer: Path, *, hosts: int = 2) -> Iterator[SystemdLab]:
    """Hosts on which flanpy was installed and enabled before their first boot; they are off, the network is vxlan."""
    with SystemdLab(hosts=hosts, layers=[layer]) as lab:
        _standing.append(lab)
        try:
            lab.configure()
            for host in lab.hosts:
                host.write(
                    "/etc/flanpy/flanpyd.toml", f'etcd-endpoints = "{lab.etcd.endpoints}"\niface = "eth0"\n'
                )
                host.run_off("sh", "/opt/flanpy/install.sh", "--activate")
            yield lab
        finally:
            _standing.remove(lab)


@pytest.fixture(scope="module")
def lab(layer: Path) -> Iterator[SystemdLab]:
    """Two hosts that have booted for the first time, each with a container that Docker starts again by itself."""
    with installed(layer) as lab:
        lab.boot()
        for host in lab.hosts:
            host.docker.run_container("c1", "--restart=always")
        yield lab


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed and "tests/systemd" in item.nodeid:
        for lab in _standing:
            for host in lab.hosts:
                with suppress(LabError, OSError):
                    report.sections.append((f"{host.name} console", host.console_tail(LOG_LINES)))
                    for unit in ("flanpyd", "flanpy-docker*", "docker"):
                        report.sections.append((f"{host.name} {unit}", host.journal(unit, lines=LOG_LINES)))
