"""Two hosts as an operator has them: flanpy's units beside Docker's, boots, crashes, upgrades; booted once for all."""

from __future__ import annotations

import re

import pytest

from integration.hosts.systemd import SystemdHost, SystemdLab
from integration.hosts.systemd.program import LIBRARY
from tests.lab.overlay import eventually
from tests.systemd.looks import (
    DAEMON,
    DEADLINE_S,
    condition,
    main_pid,
    set_network,
    subnet_env,
    unbroken,
    wait_reach,
    wait_ready,
)

pytestmark = [pytest.mark.lab, pytest.mark.netns, pytest.mark.etcd]

VERSION = f"/{LIBRARY}/flanpy/__init__.py"
DROP_IN = "/run/systemd/system/flanpyd.service.d/test.conf"

Pair = tuple[SystemdHost, SystemdHost]


@pytest.fixture
def hosts(lab: SystemdLab) -> Pair:
    """Both, with a daemon that is ready and containers that reach each other."""
    for host in lab.hosts:
        wait_ready(host)
    wait_reach(lab.hosts[0], lab.hosts[1])
    one, two = lab.hosts
    return one, two


def test_containers_reach_each_other_when_two_hosts_have_booted(hosts: Pair) -> None:
    for host in hosts:
        assert host.failed_units() == []
        assert host.is_active("flanpy-docker.path")
        assert str(host.docker.docker0()) == subnet_env(host)["FLANNEL_SUBNET"]
        assert host.docker.bridge_network()[1] == 1450
        # dockerd judges the file, as nobody: a unit with fewer rights would leave it unjudged
        assert "could not be asked" not in host.journal("flanpy-docker")


def test_docker_starts_after_the_overlay_stands_when_a_host_boots(hosts: Pair) -> None:
    for host in hosts:
        ready = host.unit(DAEMON, "ActiveEnterTimestampMonotonic")["ActiveEnterTimestampMonotonic"]
        docker = host.unit("docker.service", "ExecMainStartTimestampMonotonic")[
            "ExecMainStartTimestampMonotonic"
        ]
        assert 0 < int(ready) < int(docker)


def test_containers_come_back_on_the_same_subnet_when_a_host_reboots(hosts: Pair) -> None:
    host = hosts[0]
    before = subnet_env(host), host.docker.docker0()
    host.reboot()
    assert host.failed_units() == []
    assert (subnet_env(host), host.docker.docker0()) == before
    wait_reach(*hosts)


def test_docker_comes_up_on_the_leased_subnet_when_a_host_boots_without_etcd(
    lab: SystemdLab, hosts: Pair
) -> None:
    host = hosts[0]
    before = subnet_env(host), host.docker.docker0()
    lab.etcd.stop()
    try:
        host.reboot()
        assert host.is_active(DAEMON)
        assert host.is_active("docker.service")
        assert (subnet_env(host), host.docker.docker0()) == before
        assert host.docker.container("c1").ping(str(before[1].ip)).ok
        eventually(lambda: condition(host, "DatastoreReachable").startswith("False"),
                   lambda: condition(host, "DatastoreReachable"), deadline=DEADLINE_S)  # fmt: skip
    finally:
        lab.etcd.start()
    wait_reach(*hosts)
    eventually(lambda: condition(host, "DatastoreReachable") == "True Connected", "etcd is followed again",
               deadline=DEADLINE_S)  # fmt: skip


def test_daemon_is_started_again_and_packets_go_on_when_it_is_killed(lab: SystemdLab, hosts: Pair) -> None:
    host = hosts[0]
    with unbroken(lab, *(each.docker.container("c1") for each in hosts)):
        for _ in range(2):
            killed = main_pid(host)
            host.run("systemctl", "kill", "--signal=KILL", DAEMON)
            eventually(lambda: main_pid(host) not in {0, killed}, "another daemon runs", deadline=DEADLINE_S)  # noqa: B023
            wait_ready(host)
    assert host.is_active("docker.service")


def test_daemon_is_started_again_when_it_says_nothing(lab: SystemdLab, hosts: Pair) -> None:
    host = hosts[0]
    host.write(DROP_IN, "[Service]\nWatchdogSec=8\nTimeoutAbortSec=1\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "restart", DAEMON)
    frozen = main_pid(host)
    try:
        with unbroken(lab, *(each.docker.container("c1") for each in hosts)):
            host.run("kill", "-STOP", str(frozen))
            eventually(lambda: main_pid(host) not in {0, frozen}, "another daemon runs", deadline=DEADLINE_S)
            wait_ready(host)
    finally:
        host.path(DROP_IN).unlink()
        host.run("systemctl", "daemon-reload")
        host.run("systemctl", "restart", DAEMON)
    assert "Watchdog timeout" in host.journal(DAEMON)


def test_upgrade_and_way_back_go_unnoticed_by_a_running_stream(lab: SystemdLab, hosts: Pair) -> None:
    host = hosts[0]
    before = host.read(VERSION)
    new = re.sub(r'__version__ = "[^"]+"', '__version__ = "99.0"', before)
    with unbroken(lab, *(each.docker.container("c1") for each in hosts)):
        for text in (new, before):
            host.write(VERSION, text)
            host.run("systemctl", "restart", DAEMON)
            running = host.run("flanpyctl", "status", "--wait").stdout
            assert ("flanpyd 99.0" in running) == (text is new)
    assert host.is_active("docker.service")


def test_docker_and_packets_go_on_when_the_daemon_is_stopped(lab: SystemdLab, hosts: Pair) -> None:
    host = hosts[0]
    docker = host.unit("docker.service", "MainPID")
    with unbroken(lab, *(each.docker.container("c1") for each in hosts)):
        host.run("systemctl", "stop", DAEMON)
        assert host.unit("docker.service", "MainPID") == docker
        host.run("systemctl", "start", DAEMON)
    assert host.exists("/run/flannel/subnet.env")


def test_docker_gets_a_changed_mtu_by_itself_when_it_may_be_restarted(lab: SystemdLab, hosts: Pair) -> None:
    host = hosts[0]
    host.write("/etc/default/flanpyd", "FLANPYD_DOCKER_RESTART=always\n", mode=0o640)
    try:
        for mtu, backend in ((1350, {"MTU": 1400}), (1450, {})):
            set_network(lab, Type="vxlan", **backend)
            eventually(lambda: host.docker.bridge_network()[1] == mtu,  # noqa: B023
                       lambda: host.journal("flanpy-docker-changed"), deadline=4 * DEADLINE_S)  # fmt: skip
            eventually(lambda: host.unit("flanpy-docker-changed", "ActiveState")["ActiveState"] == "inactive",
                       "the change of Docker is complete", deadline=DEADLINE_S)  # fmt: skip
    finally:
        set_network(lab, Type="vxlan")
        host.path("/etc/default/flanpyd").unlink()
    wait_reach(*hosts)
