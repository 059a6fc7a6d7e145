"""The package on booted systems whose Python is another than that of the machine that built the package."""

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

PYTHONS = {"trixie": 13, "jammy": 11, "noble": 12}
"""The minor version of the Python that runs flanpy there. Ubuntu 22.04 has it beside its own, which is 3.10."""


@pytest.fixture(scope="module", params=PYTHONS)
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def lab(suite: str) -> Iterator[SystemdLab]:
    with SystemdLab(hosts=2, suite=suite) as made:
        made.configure()
        made.boot()
        yield made


def test_package_of_one_system_lives_on_another(lab: SystemdLab, deb: Path, suite: str) -> None:
    one, two = lab.hosts
    for host in (one, two):
        install(host, deb)
        assert f"VERSION_CODENAME={suite}" in host.read("/etc/os-release")
        switch_on(host, lab.etcd.endpoints)
    asked = one.run("/opt/flanpy/bin/python", "-c", "import sys; print(sys.version_info[1])").stdout
    assert int(asked) == PYTHONS[suite]
    tag = f"*.cpython-3{PYTHONS[suite]}.pyc"
    compiled = one.run("find", "/opt/flanpy/lib/python3", "-name", tag).stdout.splitlines()
    assert len(compiled) > 500
    with Probe(end(one), end(two)) as probe:
        probe.wait_flowing()
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
    assert host.has_link("flannel.1")
    dpkg(host, "--purge", "flanpy")
    assert traces(host) == []
