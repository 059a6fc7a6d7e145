"""The wheel, by pip and the hashed lock in a virtualenv of a booted host that has no network, as a service."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from integration.hosts.systemd.host import SystemdHost
from integration.hosts.systemd.lab import SystemdLab
from integration.lab import Probe
from integration.net.claim import PROJECT_ROOT
from tests.package.installed import dpkg, end, switch_on, version_on

pytestmark = [
    pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.more_engines, pytest.mark.timeout(900),
]  # fmt: skip

HOME = "/opt/flanpy"
PIP = (str(PROJECT_ROOT / ".venv/bin/python"), "-m", "pip", "--disable-pip-version-check", "-qq")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that is installed, pip itself too, each by its hash but our own."""
    directory = tmp_path_factory.mktemp("wheels")
    lock = str(PROJECT_ROOT / "deploy/locks/run.txt")
    for words in (
        ("wheel", "--no-deps", "--require-hashes", "-r", lock),
        ("wheel", "--no-deps", "--no-build-isolation", str(PROJECT_ROOT)),
        ("wheel", "--no-deps", "pip"),
    ):
        subprocess.run([*PIP, *words, "--wheel-dir", str(directory)], timeout=400, check=True)
    return directory


def _installed(host: SystemdHost, wheels: Path) -> None:
    """Install in a virtualenv with what was brought along alone."""
    if version_on(host):
        dpkg(host, "--purge", "flanpy")
    for wheel in wheels.iterdir():
        host.path("/root/wheels").mkdir(exist_ok=True)
        (host.path("/root/wheels") / wheel.name).write_bytes(wheel.read_bytes())
    (pip,) = (one.name for one in wheels.glob("pip-*.whl"))
    host.run("python3", "-m", "venv", "--without-pip", HOME)
    host.run(
        f"{HOME}/bin/python", f"/root/wheels/{pip}/pip", "install", "--no-index", "--find-links=/root/wheels",
        "flanpy", timeout=240.0,
    )  # fmt: skip
    host.run(f"{HOME}/bin/flanpyctl", "host", "install")
    host.run("ln", "-sf", f"{HOME}/bin/flanpyctl", "/usr/local/bin/flanpyctl")


def test_wheel_is_a_service_on_two_hosts_and_leaves_nothing(lab: SystemdLab, wheels: Path) -> None:
    one, two = lab.hosts
    for host in (one, two):
        _installed(host, wheels)
        switch_on(host, lab.etcd.endpoints)
    with Probe(end(one), end(two)) as probe:
        probe.wait_flowing()
        report = probe.stop()
    assert report.received > 0
    host = two
    host.run("systemctl", "disable", "--now", "flanpyd.service")
    host.run(f"{HOME}/bin/flanpyctl", "cleanup", "--yes")
    host.run(f"{HOME}/bin/flanpyctl", "host", "install", "--uninstall")
    assert not host.has_link("flannel.1")
    assert host.unit("flanpyd.service", "LoadState")["LoadState"] == "not-found"
    assert host.failed_units() == []
