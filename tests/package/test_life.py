"""A package's life on real hosts with systemd: installed, upgraded, removed and purged, with packets under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from integration import package
from integration.hosts.systemd.host import SystemdHost
from integration.hosts.systemd.lab import SystemdLab
from integration.lab import Probe
from tests.package.installed import KEPT, dpkg, end, install, ready, switch_on, traces, version_on, wait_ready

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab, pytest.mark.timeout(900)]

LONGEST_GAP_MS = 1000.0


@pytest.fixture
def hosts(lab: SystemdLab, deb: Path) -> tuple[SystemdHost, SystemdHost]:
    """Both have a package, and their flanpyd is ready."""
    one, two = lab.hosts
    for host in (one, two):
        if not version_on(host):
            install(host, deb)
        if not ready(host):
            switch_on(host, lab.etcd.endpoints)
    return one, two


def test_installation_needs_no_network_and_starts_nothing(lab: SystemdLab, deb: Path) -> None:
    host = lab.hosts[0]
    dpkg(host, "--purge", "flanpy")
    install(host, deb)
    assert host.run("flanpyctl", "version").stdout.startswith("flanpyctl ")
    assert host.run("flanpyd", "--version").stdout.startswith("flanpyd ")
    assert not host.is_active("flanpyd.service")
    assert host.unit("flanpyd.service", "UnitFileState")["UnitFileState"] == "disabled"
    assert host.run("dpkg", "--verify", "flanpy").stdout.replace("missing", "").split() == _unpacked_docs(
        host
    )
    assert host.failed_units() == []


def test_upgrade_restarts_the_daemon_while_packets_go_on(
    hosts: tuple[SystemdHost, SystemdHost], deb: Path, tmp_path: Path
) -> None:
    one, two = hosts
    newer = package.as_version(deb, "9.9.9", tmp_path)
    before = one.unit("flanpyd.service", "MainPID")["MainPID"]
    with Probe(end(one), end(two)) as probe:
        install(one, newer)
        wait_ready(one)
        report = probe.stop()
    assert one.unit("flanpyd.service", "MainPID")["MainPID"] not in {before, "0"}
    assert version_on(one) == "9.9.9"
    assert report.received > 0
    assert report.longest_gap_ms < LONGEST_GAP_MS
    assert one.read("/etc/default/flanpyd").startswith("FLANPYD_ETCD_ENDPOINTS=")


def test_upgrade_leaves_a_stopped_daemon_stopped(hosts: tuple[SystemdHost, SystemdHost], deb: Path) -> None:
    host = hosts[0]
    host.run("systemctl", "stop", "flanpyd.service")
    install(host, deb)
    assert not host.is_active("flanpyd.service")


def test_removal_stops_the_daemon_and_no_packet_and_purge_leaves_nothing(
    hosts: tuple[SystemdHost, SystemdHost],
) -> None:
    one, two = hosts
    with Probe(end(one), end(two)) as probe:
        dpkg(one, "--remove", "flanpy")
        assert not one.exists("/usr/bin/flanpyctl")
        assert one.run("systemctl", "is-active", "flanpyd.service", check=False).stdout.strip() != "active"
        report = probe.stop()
    assert report.longest_gap_ms < LONGEST_GAP_MS
    assert one.has_link("flannel.1")
    assert one.exists(f"{KEPT}/cleanup.pyz")
    assert one.run("stat", "-c", "%a %U", KEPT, str(Path(KEPT).parent)).stdout == "700 root\n755 root\n"

    dpkg(one, "--purge", "flanpy")
    assert traces(one) == []
    assert one.failed_units() == []


def _unpacked_docs(host: SystemdHost) -> list[str]:
    """The hosts' dpkg is told to leave documentation out."""
    listed = host.run("dpkg", "-L", "flanpy").stdout.split()
    return sorted(path for path in listed if path.startswith(("/usr/share/doc/flanpy", "/usr/share/man/")))
