"""The RPM package: the Debian package's tree in RPM's places, and its life on a booted host."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration import package
from integration.hosts.systemd.lab import SystemdLab
from tests.package.installed import ready, switch_on, traces, wait_ready
from tests.package.rpm import install, lay, rpm

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def built() -> Path:
    return package.built_rpm()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdLab]:
    with SystemdLab(hosts=1, layers=[lay(tmp_path_factory.mktemp("rpm"))]) as made:
        made.configure()
        made.boot()
        yield made


def _asked(built: Path, *words: str) -> list[str]:
    """Ask rpm, which writes a database at every question, of a file."""
    database = str(built.parent / "rpmdb")
    return subprocess.run(
        ["rpm", "--dbpath", database, "-qp", *words, str(built)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.splitlines()


def test_rpm_asks_for_one_of_the_pythons_and_keeps_the_operators_settings(built: Path) -> None:
    first, *others = package.pythons()
    beside = " or ".join(f"python{one}" for one in (first, *others))
    assert f"(python3 >= {first} or {beside})" in _asked(built, "--requires")
    assert _asked(built, "--configfiles") == ["/etc/default/flanpy-store", "/etc/default/flanpyd"]


def test_rpm_has_what_the_debian_package_has_in_its_own_places(built: Path, deb: Path) -> None:
    listed = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], capture_output=True, check=True, timeout=100
    )
    names = subprocess.run(["tar", "-t"], input=listed.stdout, capture_output=True, check=True, timeout=100)
    debian = {line[1:] for line in names.stdout.decode().splitlines() if not line.endswith("/")}
    moved = {
        "/usr/share/zsh/vendor-completions/_flanpyctl",
        "/usr/sbin/flanpyd",
        "/usr/share/doc/flanpy/copyright",
    }
    compiled = {name for name in debian if name.endswith(".pyc")}
    found = set(_asked(built, "-l"))
    assert debian - moved - compiled - found == set()
    assert "/usr/share/zsh/site-functions/_flanpyctl" in found
    assert found.isdisjoint(moved | compiled)


def test_rpm_installs_starts_upgrades_and_goes_without_a_trace(lab: SystemdLab, built: Path) -> None:
    host = lab.hosts[0]
    install(host, built)
    assert not host.is_active("flanpyd.service")
    assert host.run("flanpyd", "--version").stdout.startswith("flanpyd ")
    assert host.exists("/opt/flanpy/lib/python3/site-packages/flanpy/__pycache__")
    switch_on(host, lab.etcd.endpoints)
    before = host.unit("flanpyd.service", "MainPID")["MainPID"]

    install(host, built, upgrade=True)
    wait_ready(host)
    assert ready(host)
    assert host.unit("flanpyd.service", "MainPID")["MainPID"] not in {before, "0"}
    assert "FLANPYD_ETCD_ENDPOINTS=" in host.read("/etc/default/flanpyd")

    host.run("systemctl", "stop", "flanpyd.service")
    host.run("flanpyctl", "cleanup", "--yes")
    rpm(host, "-e", "flanpy")
    assert not host.is_active("flanpyd.service")
    assert [line for line in traces(host) if line.startswith(("/usr/", "/opt/"))] == []
    assert host.failed_units() == []
