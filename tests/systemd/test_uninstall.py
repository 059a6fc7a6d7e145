"""A host that flanpy came to, and left again: nothing of it is there, and Docker is as it was.

It comes as a tree of units first, then as a virtualenv that makes itself a service.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.hosts.systemd import SystemdHost
from tests.lab.overlay import eventually
from tests.systemd.conftest import installed
from tests.systemd.looks import DAEMON, DEADLINE_S, wait_ready

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

INSTALL = "/opt/flanpy/install.sh"
HOST_INSTALL = ("/opt/flanpy/bin/flanpyctl", "host", "install")
PURGED = (
    "/etc/flanpy",
    "/etc/default/flanpyd",
    "/etc/default/flanpy-store",
    "/var/lib/flanpy",
    "/opt/flanpy",
    "/usr/bin/flanpyd",
    "/usr/bin/flanpyctl",
    "/usr/bin/flanpy-store",
)
TRACES = ("/etc", "/usr", "/var", "/opt", "/run")


@pytest.fixture
def host(layer: Path) -> Iterator[SystemdHost]:
    """One host, booted, with a container."""
    with installed(layer, hosts=1) as lab:
        host = lab.hosts[0]
        host.boot()
        wait_ready(host)
        host.docker.run_container("c1", "--restart=always")
        yield host


def test_nothing_is_left_when_flanpy_was_removed(host: SystemdHost) -> None:
    container = host.docker.inspect("container", "c1")["State"]["Pid"]
    host.run("sh", INSTALL, "--deactivate")
    host.run("flanpyctl", "docker", "rollback", "--restart=never", check=False)
    host.run("flanpyctl", "cleanup", "--yes")
    host.run("sh", INSTALL, "--uninstall")
    host.run("userdel", "flanpy")
    _come_by_pip_and_leave(host)
    host.run("rm", "-rf", *PURGED)
    host.run("userdel", "flanpy")
    assert host.docker.inspect("container", "c1")["State"]["Pid"] == container
    assert host.failed_units() == []
    assert not host.has_link("flannel.1")
    assert "FLANPY" not in host.run("iptables-save").stdout
    assert "flanpy" not in host.run("nft", "list", "ruleset").stdout
    assert _traces(host) == []
    host.reboot()
    assert host.failed_units() == []
    assert host.unit(DAEMON, "LoadState")["LoadState"] == "not-found"
    eventually(lambda: host.docker.inspect("container", "c1")["State"]["Running"], "the container is back",
               deadline=DEADLINE_S)  # fmt: skip
    assert _traces(host) == []


def _come_by_pip_and_leave(host: SystemdHost) -> None:
    """Make the virtualenv in /opt/flanpy a service, twice, and take it back; the settings file is the operator's."""
    settings = host.read("/etc/default/flanpyd")
    refused = host.run_as("nobody", *HOST_INSTALL, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == ("flanpyctl: this needs root: units and users are the whole host's (sudo)\n")
    assert "write /etc/systemd/system/flanpyd.service" in host.run(*HOST_INSTALL, "--dry-run").stdout
    assert not host.exists("/etc/systemd/system/flanpyd.service")

    assert "kept /etc/default/flanpyd" in host.run(*HOST_INSTALL).stdout
    again = host.run(*HOST_INSTALL).stdout.splitlines()[:-1]
    assert {line.split()[0] for line in again} == {"kept", "unchanged"}
    assert host.unit(DAEMON, "UnitFileState")["UnitFileState"] == "disabled"
    host.run("systemctl", "start", DAEMON, timeout=150.0)
    wait_ready(host)
    assert "/opt/flanpy/bin/flanpyd" in host.unit(DAEMON, "ExecStart")["ExecStart"]
    assert host.unit(DAEMON, "FragmentPath")["FragmentPath"] == "/etc/systemd/system/flanpyd.service"

    host.run("systemctl", "stop", DAEMON)
    host.run("flanpyctl", "cleanup", "--yes")
    host.run(*HOST_INSTALL, "--uninstall")
    assert host.read("/etc/default/flanpyd") == settings
    assert host.run("find", "/etc/systemd", "/usr/local", "-name", "*flanpy*").stdout == ""


def _traces(host: SystemdHost) -> list[str]:
    """Files that bear our name or flannel's, Docker's backup of its own settings aside."""
    found = host.run(
        "find", *TRACES, "-xdev", "(", "-iname", "*flanpy*", "-o", "-iname", "*flannel*", ")"
    ).stdout
    return found.split()
