"""sd_notify as the service manager hears it: READY, STATUS, WATCHDOG, RELOADING and STOPPING on a real socket."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from integration.lab import ETCD_PREFIX, Host, Lab
from tests.lab.conftest import BuildLab
from tests.lab.daemon_side import Manager
from tests.lab.overlay import eventually, never, wrongs

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

WATCHDOG_S = 1.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(tmp_path / "notify") as manager:
        yield manager


def _restart_under(manager: Manager, host: Host, **env: str) -> None:
    host.daemon.restart(env={**manager.environment, **env})
    eventually(lambda: manager.count("READY=1"), manager.listen)


def test_ready_is_said_once_and_only_when_containers_can_use_the_overlay(
    build_lab: BuildLab, manager: Manager
) -> None:
    lab = build_lab(2)
    one, two = lab.hosts
    one.daemon.launch(env=manager.environment)
    eventually(lambda: any("STATUS=LISTING" in line for line in manager.listen()), manager.listen)
    never(lambda: manager.count("READY=1"), "READY=1 without a network", seconds=0.5)
    lab.configure()
    while not manager.count("READY=1"):
        one.daemon.is_ready_or_ended()
        time.sleep(0.002)
    assert one.daemon.subnet_path.exists()
    assert wrongs(lab, one) == []
    eventually(lambda: manager.count("STATUS=READY") == 1, manager.listen)
    two.daemon.up()
    eventually(lambda: not wrongs(lab, one), lambda: wrongs(lab, one))
    assert manager.count("READY=1") == 1
    said = [line for line in manager.heard if line.startswith("STATUS=")]
    assert [(a, b) for a, b in pairwise(said) if a == b] == []


def test_status_line_names_what_is_wrong_and_that_it_is_well_again(lab: Lab, manager: Manager) -> None:
    host = lab.hosts[0]
    _restart_under(manager, host)
    config = lab.etcd.api.get(f"{ETCD_PREFIX}/config")
    assert config is not None
    lab.etcd.api.put(f"{ETCD_PREFIX}/config", "{")
    eventually(
        lambda: any(
            line.startswith("STATUS=DEGRADED: NetworkConfigValid Invalid") for line in manager.listen()
        ),
        manager.listen,
    )
    heard = len(manager.heard)
    lab.etcd.api.put(f"{ETCD_PREFIX}/config", config.value)
    eventually(lambda: "STATUS=READY" in manager.listen()[heard:], manager.listen)
    assert all("\n" not in line for line in manager.heard if line.startswith("STATUS="))


def test_watchdog_is_fed_at_half_its_time_and_not_while_the_daemon_is_frozen(
    lab: Lab, manager: Manager
) -> None:
    host = lab.hosts[0]
    _restart_under(manager, host, WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6)))
    before, began = manager.count("WATCHDOG=1"), time.monotonic()
    eventually(lambda: manager.count("WATCHDOG=1") - before >= 8, manager.listen)
    fed, took = manager.count("WATCHDOG=1") - before, time.monotonic() - began
    assert fed <= 2 * took / WATCHDOG_S + 1  # the pace is the subject
    host.daemon.freeze()
    frozen = manager.count("WATCHDOG=1")
    never(
        lambda: manager.count("WATCHDOG=1") > frozen, "a frozen daemon fed the watchdog", seconds=WATCHDOG_S
    )
    host.daemon.thaw()
    eventually(lambda: manager.count("WATCHDOG=1") > frozen, manager.listen)


def test_watchdog_of_another_process_is_not_fed(lab: Lab, manager: Manager) -> None:
    _restart_under(manager, lab.hosts[0], WATCHDOG_USEC="200000", WATCHDOG_PID="1")
    never(lambda: manager.count("WATCHDOG=1"), "it fed another's watchdog", seconds=0.5)


def test_reload_is_told_with_its_time_and_ends_with_ready(lab: Lab, manager: Manager) -> None:
    host = lab.hosts[0]
    _restart_under(manager, host)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    host.daemon.signal(signal.SIGHUP)
    eventually(lambda: manager.count("READY=1") == 2, manager.listen)
    reloading = next(one for one in manager.heard if "RELOADING=1" in one)
    said = re.search(r"^MONOTONIC_USEC=(\d+)$", reloading, re.MULTILINE)
    assert said is not None
    assert before <= int(said[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    order = [one for one in manager.heard if "RELOADING=1" in one or "READY=1" in one]
    assert order.index(reloading) == 1
    assert len(order) == 3


def test_reload_before_it_is_ready_says_nothing_of_being_ready(build_lab: BuildLab, manager: Manager) -> None:
    host = build_lab(1).hosts[0]
    host.daemon.launch(env=manager.environment)
    eventually(lambda: host.daemon.answers("/healthz"), host.daemon.log_tail)
    host.daemon.signal(signal.SIGHUP)
    eventually(lambda: host.daemon.events("settings_reloaded"), host.daemon.log_tail)
    assert manager.count("READY=1") == 0
    assert manager.count("RELOADING=1") == 0


def test_stopping_is_the_last_but_for_the_status(lab: Lab, manager: Manager) -> None:
    host = lab.hosts[0]
    _restart_under(manager, host)
    assert host.daemon.stop() == 0
    assert manager.count("STOPPING=1") == 1
    after = manager.heard[manager.heard.index("STOPPING=1") + 1 :]
    assert [one for one in after if not one.startswith("STATUS=")] == []


def test_daemon_serves_without_a_service_manager_and_with_one_that_went_away(
    lab: Lab, tmp_path: Path
) -> None:
    host = lab.hosts[0]
    host.daemon.restart(env={"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "100000"})
    never(lambda: not host.daemon.running, "it ended", seconds=0.3)
