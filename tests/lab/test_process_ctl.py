"""flanpyctl beside running daemons: waiting, differences, settings, listings, and what it refuses meanwhile."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

import pytest

from integration.lab import Host, Lab, flanpyctl
from tests.lab.conftest import BuildLab
from tests.lab.daemon_side import kernel_state
from tests.lab.overlay import eventually

pytestmark = [pytest.mark.netns, pytest.mark.etcd, pytest.mark.lab]


@pytest.fixture
def host(lab: Lab) -> Host:
    return lab.hosts[0]


def _ctl(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return host.run(*flanpyctl(), *words, check=False)


def _said(host: Host, *words: str) -> Any:
    done = _ctl(host, *words, "-o", "json")
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def test_status_wait_returns_as_soon_as_the_daemon_is_ready(build_lab: BuildLab) -> None:
    lab = build_lab(1)
    host = lab.hosts[0]
    host.daemon.launch()
    ended: list[subprocess.CompletedProcess[str]] = []
    waiting = threading.Thread(target=lambda: ended.append(_ctl(host, "status", "--wait", "--timeout", "60")))
    waiting.start()
    eventually(lambda: host.daemon.answers("/healthz"), host.daemon.log_tail)
    assert ended == []
    lab.configure()
    waiting.join(timeout=90)
    assert ended[0].returncode == 0
    assert "READY" in ended[0].stdout


def test_status_wait_exits_5_with_names_when_time_is_up(build_lab: BuildLab) -> None:
    host = build_lab(1).hosts[0]
    host.daemon.launch()
    eventually(lambda: "flanpyctl network init" in _ctl(host, "status").stdout, host.daemon.log_tail)
    done = _ctl(host, "status", "--wait", "--timeout", "1")
    assert done.returncode == 5
    assert len(done.stderr.splitlines()) == 1
    for part in ("LISTING", "NetworkConfigValid", "flanpyctl network init"):
        assert part in done.stderr


def test_status_exits_3_naming_the_socket_when_nobody_listens(build_lab: BuildLab) -> None:
    host = build_lab(1).hosts[0]
    for words in (("status",), ("status", "--wait", "--timeout", "0.5"), ("diff",), ("reload",)):
        done = _ctl(host, *words)
        assert done.returncode == 3, done
        assert f"{host.daemon.run_dir}/flanpyd.sock" in done.stderr


def test_status_exits_3_in_time_when_the_daemon_is_frozen(host: Host) -> None:
    host.daemon.freeze()
    try:
        done = _ctl(host, "status")
    finally:
        host.daemon.thaw()
    assert done.returncode == 3
    assert "no answer" in done.stderr


def test_diff_is_empty_when_all_stands_and_changes_nothing(host: Host) -> None:
    before = kernel_state(host)
    empty = {"trusted": True, "lines": [], "kinds": [], "held": "", "held_lines": [], "conflicts": []}
    eventually(lambda: _said(host, "diff") == empty, lambda: _said(host, "diff"))
    assert kernel_state(host) == before


def test_diff_names_a_foreign_object_in_the_way(host: Host) -> None:
    gone = next(dst for dst, route in host.routes().items() if route.get("dev") == "flannel.1")
    host.daemon.freeze()
    host.ip(f"route del {gone}", f"route add {gone} via {host.routes()['default']['gateway']} proto static")
    host.daemon.thaw()
    try:
        eventually(lambda: _said(host, "diff")["conflicts"], lambda: _said(host, "diff"))
        assert gone in _said(host, "diff")["conflicts"][0]
    finally:
        host.ip(f"route del {gone} proto static")
    eventually(lambda: host.routes().get(gone, {}).get("dev") == "flannel.1", lambda: str(host.routes()))


def test_config_show_tells_values_with_their_origins(host: Host) -> None:
    shown = {row["name"]: (row["value"], row["origin"]) for row in _said(host, "config", "show")}
    assert shown["iface"] == ("eth0", "flag --iface")
    assert shown["node-id"] == ("h1", "env FLANPYD_NODE_ID")
    assert shown["subnet-lease-ttl"] == ("24h", "default")


def test_subnets_of_the_socket_and_of_etcd_agree(host: Host) -> None:
    of_this_host = {"state", "expires_in", "reason", "way", "way_reason"}

    def rows(*words: str) -> list[dict[str, Any]]:
        found = _said(host, "subnets", *words)["subnets"]
        return [{k: v for k, v in row.items() if k not in of_this_host} for row in found]

    eventually(lambda: rows() == rows("--etcd"), lambda: str((rows(), rows("--etcd"))))
    assert {row["node_id"] for row in rows()} == {"h1", "h2", "h3"}


def test_cleanup_refuses_with_7_while_the_daemon_runs_and_removes_nothing(host: Host) -> None:
    before = kernel_state(host)
    done = _ctl(host, "cleanup", "--yes")
    assert done.returncode == 7, done
    assert kernel_state(host) == before
    assert host.daemon.is_ready_or_ended()
