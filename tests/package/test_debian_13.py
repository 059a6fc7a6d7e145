"""The package on a booted Debian 13, whose Python is another than that of the machine that built the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import package
from integration.hosts.systemd.lab import SystemdLab
from integration.lab import Probe
from tests.package.installed import dpkg, end, install, switch_on, traces, version_on

pytestmark = [
    pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.more_engines, pytest.mark.timeout(1500),
]  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[SystemdLab]:
    with SystemdLab(hosts=2, suite="trixie") as made:
        made.configure()
        made.boot()
        yield made


def test_package_of_one_debian_lives_on_the_next(lab: SystemdLab, deb: Path) -> None:
    one, two = lab.hosts
    for host in (one, two):
        install(host, deb)
        assert host.run("python3", "-c", "import sys; print(sys.version_info[1])").stdout == "13\n"
        assert "trixie" in host.read("/etc/os-release")
        switch_on(host, lab.etcd.endpoints)
    compiled = one.run("find", "/opt/flanpy/lib/python3", "-name", "*.cpython-313.pyc").stdout.splitlines()
    assert len(compiled) > 500
    with Probe(end(one), end(two)) as probe:
        report = probe.stop()
    assert report.received > 0
    assert one.run("flanpyctl", "doctor", "-o", "json", check=False).stdout.startswith("{")
    assert one.failed_units() == []


def test_upgrade_and_purge_leave_nothing_that_the_package_compiled(
    lab: SystemdLab, deb: Path, tmp_path: Path
) -> None:
    host = lab.hosts[0]
    install(host, package.as_version(deb, "9.9.9", tmp_path))
    assert version_on(host) == "9.9.9"
    dpkg(host, "--purge", "flanpy")
    assert traces(host) == []
