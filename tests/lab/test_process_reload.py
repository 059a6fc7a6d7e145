"""SIGHUP and `flanpyctl reload`: what takes effect, what waits for a restart, and what is refused."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl
from tests.lab.daemon_side import kernel_state
from tests.lab.overlay import condition, eventually, metric

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]

BEFORE = """
log-level = "info"
resync-interval = "1h"
node-id = "h1"
"""


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.hosts[0]


@pytest.fixture
def file(host: Host, tmp_path: Path) -> Iterator[Path]:
    """The settings file of a daemon that runs by it; the flags and variables of the lab come before it."""
    path = tmp_path / "flanpyd.toml"
    path.write_text(BEFORE)
    host.daemon.restart(env={"FLANPYD_CONFIG": str(path)})
    yield path
    host.daemon.restart()


def _reload(host: Host) -> dict[str, Any]:
    """SIGHUP, and the log line that tells how it ended."""
    before = len(_ends(host))
    host.daemon.signal(signal.SIGHUP)
    eventually(lambda: len(_ends(host)) > before, host.daemon.log_tail)
    return _ends(host)[-1]


def _ends(host: Host) -> list[dict[str, Any]]:
    return host.daemon.events("settings_reloaded") + host.daemon.events("reload_refused")


def _shown(host: Host) -> dict[str, tuple[str, str]]:
    rows = json.loads(host.run(*flanpyctl(), "config", "show", "-o", "json").stdout)
    return {row["name"]: (row["value"], row["origin"]) for row in rows}


def test_log_level_takes_effect_on_sighup(host: Host, file: Path) -> None:
    file.write_text(BEFORE.replace("info", "error"))
    host.daemon.signal(signal.SIGHUP)
    eventually(lambda: _shown(host)["log-level"] == ("error", f"file {file}:2"), lambda: _shown(host))
    assert not host.daemon.events("settings_reloaded")  # it is quiet already
    file.write_text(BEFORE)
    assert _reload(host)["options"] == ["log-level"]


def test_resync_interval_takes_effect_on_sighup(host: Host, file: Path) -> None:
    assert metric(host, "flanpy_resyncs_total", reason="timer") == 0
    file.write_text(BEFORE.replace("1h", "200ms"))
    assert _reload(host)["options"] == ["resync-interval"]
    eventually(lambda: metric(host, "flanpy_resyncs_total", reason="timer") >= 3, host.daemon.metrics)
    assert metric(host, "flanpy_kernel_operations_total", object="route", verb="add") == 0


def test_changed_option_that_cannot_be_reloaded_becomes_restart_needed_until_it_is_taken_back(
    host: Host, file: Path
) -> None:
    before = kernel_state(host)
    file.write_text(BEFORE.replace("1h", "2h") + 'public-ip = "192.0.2.77"\n')
    line = _reload(host)
    assert sorted(line["options"]) == ["public-ip", "resync-interval"]
    eventually(lambda: condition(host, "RestartNeeded")["status"] == "True", host.daemon.log_tail)
    raised = condition(host, "RestartNeeded")
    assert raised["reason"] == "ConfigChanged"
    assert "public-ip" in raised["message"]
    assert "restart" in raised["cure"]
    assert _shown(host)["resync-interval"][0] == "2h"
    assert _shown(host)["public-ip"][0] == ""
    assert kernel_state(host) == before
    file.write_text(BEFORE.replace("1h", "2h"))
    _reload(host)
    eventually(lambda: condition(host, "RestartNeeded")["status"] == "False", host.daemon.log_tail)


def test_restart_needed_for_a_setting_stays_when_the_network_config_is_read_again(
    lab: Lab, host: Host, file: Path
) -> None:
    file.write_text(BEFORE + "udp-plane = 'user'\n")
    _reload(host)
    eventually(lambda: condition(host, "RestartNeeded")["status"] == "True", host.daemon.log_tail)
    lab.configure({"Network": "10.50.0.0/16", "Backend": {"Type": "vxlan"}, "SubnetLen": 24})
    try:
        eventually(lambda: len(host.daemon.events("network_read")) > 1, host.daemon.log_tail)
        assert condition(host, "RestartNeeded")["status"] == "True"
    finally:
        lab.configure()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("log-level = ", ("not TOML",)),
        ("log-level = 5", ("log-level takes a string", "5")),
        ("resync-interval = '1 fortnight'", ("resync-interval", "1 fortnight")),
        ("etcd-prefx = '/x'", ("'etcd-prefx'", "did you mean")),
    ],
)
def test_broken_file_is_refused_aloud_and_the_old_settings_stay(
    host: Host, file: Path, text: str, parts: tuple[str, ...]
) -> None:
    before = _shown(host)
    file.write_text(text)
    line = _reload(host)
    assert line["event"] == "reload_refused"
    assert [part for part in parts if part not in line["error"]] == []
    done = host.run(*flanpyctl(), "reload", check=False)
    assert done.returncode != 0
    assert [part for part in parts if part not in done.stderr] == []
    assert _shown(host) == before
    assert host.daemon.is_ready_or_ended()


def test_file_that_vanished_is_refused_and_the_old_settings_stay(host: Host, file: Path) -> None:
    file.unlink()
    assert "does not exist" in _reload(host)["error"]
    assert _shown(host)["resync-interval"][0] == "1h"
    file.write_text(BEFORE)


def test_reload_by_flanpyctl_names_what_changed(host: Host, file: Path) -> None:
    file.write_text(BEFORE.replace("1h", "3h"))
    assert "resync-interval" in host.run(*flanpyctl(), "reload").stdout
    assert "nothing changed" in host.run(*flanpyctl(), "reload").stdout


def test_hundred_reloads_in_a_row_change_nothing(host: Host, file: Path) -> None:
    before = kernel_state(host)
    for _ in range(100):
        host.daemon.signal(signal.SIGHUP)
    eventually(lambda: host.daemon.events("settings_reloaded"), host.daemon.log_tail)
    assert host.daemon.is_ready_or_ended()
    assert kernel_state(host) == before
