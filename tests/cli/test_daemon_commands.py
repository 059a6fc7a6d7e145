"""Commands that ask the local daemon, on its socket with canned answers."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from tests.cli.conftest import GOLDEN, Ctl
from tests.cli.stand_in import CONFIG, DIFF, STATUS, VERDICT, StandIn

UNHEALTHY: dict[str, Any] = {
    **STATUS,
    "verdict": {
        "state": "down",
        "text": "node-1 does not work: no link has 192.0.2.11",
        "cure": "set --iface",
        "cause": "UnderlayReady",
        "follows": [],
    },
    "phase": "DEGRADED",
    "ready": False,
    "conditions": [
        *STATUS["conditions"],
        {
            "type": "UnderlayReady",
            "status": "False",
            "reason": "NoLink",
            "message": "no link has 192.0.2.11",
            "cure": "set --iface",
            "since": 0.0,
            "healthy": False,
        },
    ],
}


@pytest.mark.parametrize("words", [["status"], ["diff"], ["reload"]], ids=" ".join)
def test_command_exits_3_and_names_the_socket_when_no_daemon_runs(words: list[str], ctl: Ctl) -> None:
    ended = ctl(*words)
    assert ended.code == 3
    assert ended.err == (
        f"flanpyctl: no flanpyd listens on {ctl.run_dir}/flanpyd.sock: "
        "systemctl start flanpyd, or name its directory with --run-dir\n"
    )


def test_command_exits_3_when_a_socket_was_left_by_a_dead_daemon(ctl: Ctl, daemon: StandIn) -> None:
    path = ctl.run_dir / "flanpyd.sock"
    moved = path.rename(ctl.run_dir / "was.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert ctl("status").code == 3
    assert moved.exists()


def test_command_exits_1_with_the_daemons_words_when_it_refuses(ctl: Ctl, daemon: StandIn) -> None:
    daemon.refusals["reload"] = (400, '{"error": "flanpyd.toml: key \'x\' is unknown"}')
    ended = ctl("reload")
    assert ended.code == 1
    assert "flanpyd.toml: key 'x' is unknown" in ended.err


def test_command_exits_1_when_the_answer_is_no_json(ctl: Ctl, daemon: StandIn) -> None:
    daemon.refusals["diff"] = (500, "<html>")
    ended = ctl("diff")
    assert ended.code == 1
    assert "no JSON (HTTP 500)" in ended.err


def test_status_prints_what_the_daemon_said(
    ctl: Ctl, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: STATUS["started_at"] + 3700)
    ended = ctl("status")
    assert ended.code == 0
    assert ended.out == (GOLDEN / "status.txt").read_text()


def test_status_of_a_daemon_that_has_nothing_yet(ctl: Ctl, daemon: StandIn) -> None:
    nothing = dict.fromkeys(("network", "own", "underlay", "backend", "store", "passes", "peers"))
    daemon.answers["status"] = {**UNHEALTHY, **nothing, "phase": "STARTING", "conditions": []}
    ended = ctl("status")
    assert ended.code == 5
    assert (
        "Network   no network config yet\nSubnet    none leased yet\nUnderlay  no link chosen yet\n"
        in ended.out
    )


def test_status_exits_5_and_names_the_cause_with_its_cure_when_not_ready(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["status"] = UNHEALTHY
    ended = ctl("status")
    assert ended.code == 5
    assert (
        ended.err
        == "flanpyctl: DEGRADED: node-1 does not work: no link has 192.0.2.11 (UnderlayReady); set --iface\n"
    )
    assert ended.out.splitlines()[0].endswith("This host  node-1 does not work: no link has 192.0.2.11")
    assert "no link has 192.0.2.11 (UnderlayReady NoLink)\n  Fix       set --iface\n" in ended.out


def test_status_folds_what_follows_under_its_cause(ctl: Ctl, daemon: StandIn) -> None:
    lost = {
        **UNHEALTHY["conditions"][-1],
        "type": "PeersReachable",
        "reason": "Unreachable",
        "message": "1 of 2 peers unreachable: node-1 -> node-2: PortBlocked",
        "cure": "",
        "evidence": ["node-1 -> node-2: PortBlocked", "ICMP beneath answers"],
        "depends_on": ["UnderlayReady", "MassDeleteHeld"],
    }
    daemon.answers["status"] = {**UNHEALTHY, "conditions": [UNHEALTHY["conditions"][-1], lost]}
    said = ctl("status").out
    assert "1 consequence (-v): PeersReachable" in said
    assert "ICMP beneath answers" not in said
    everything = ctl("status", "-v").out
    assert everything.index("(UnderlayReady NoLink)") < everything.index("(PeersReachable Unreachable)")
    assert everything.count("PortBlocked") == 1, "what the message says already is not said again"
    assert "  See first UnderlayReady\n" in everything, "a healthy condition explains nothing"


def test_status_is_of_the_host_and_of_the_cluster_and_exits_by_the_host(ctl: Ctl, daemon: StandIn) -> None:
    broken = {
        **VERDICT["cluster"],
        "state": "impaired",
        "text": "1 of 6 links broken: node-2 <-> node-3: PortBlocked",
    }
    daemon.answers["verdict"] = {**VERDICT, "cluster": broken}
    ended = ctl("status")
    assert ended.code == 0
    host, cluster, *_ = ended.out.splitlines()
    assert host.endswith("This host  node-1 works")
    assert cluster.endswith("Cluster    1 of 6 links broken: node-2 <-> node-3: PortBlocked")
    daemon.answers["status"] = {
        **STATUS,
        "verdict": {**STATUS["verdict"], "state": "impaired", "text": "works, but"},
    }
    assert ctl("status").code == 5, "ready, and not well"
    assert ctl("status", "--wait").code == 0


def test_status_is_unknown_without_a_daemon(ctl: Ctl) -> None:
    ended = ctl("status")
    assert (ended.code, ended.out.count("unknown:")) == (3, 2)


def test_status_as_json_is_the_daemons_answer(ctl: Ctl, daemon: StandIn) -> None:
    assert json.loads(ctl("status", "-o", "json").out) == STATUS


def test_status_wait_returns_as_soon_as_the_daemon_is_ready(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["status"] = iter([UNHEALTHY, UNHEALTHY, STATUS]).__next__
    ended = ctl("status", "--wait", "--timeout", "30")
    assert ended.code == 0
    assert daemon.asked == ["GET status"] * 3 + ["GET verdict"]


def test_status_wait_exits_5_naming_the_condition_at_the_timeout(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["status"] = UNHEALTHY
    ended = ctl("status", "--wait", "--timeout", "0.3")
    assert ended.code == 5
    assert "no link has 192.0.2.11" in ended.err


def test_status_wait_exits_3_when_no_daemon_ever_answers(ctl: Ctl) -> None:
    ended = ctl("status", "--wait", "--timeout", "0.3")
    assert ended.code == 3
    assert "waited 0.3 s" in ended.err


def test_diff_prints_the_lines_as_a_script(ctl: Ctl, daemon: StandIn) -> None:
    ended = ctl("diff")
    assert (ended.code, ended.out) == (0, DIFF["lines"][0] + "\n")


def test_diff_tells_what_keeps_a_pass_from_it_in_comments(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["diff"] = {
        "trusted": False,
        "lines": [],
        "held": "not listed yet",
        "held_lines": ["ip route del 10.50.3.0/24"],
        "conflicts": ["ip route show 10.50.2.0/24 dev eth0"],
    }
    assert ctl("diff").out == (
        "# network config, own lease or underlay are not known yet: see 'flanpyctl status'\n"
        "# held: not listed yet\n"
        "# held: ip route del 10.50.3.0/24\n"
        "# conflict: ip route show 10.50.2.0/24 dev eth0\n"
        "# nothing to change\n"
    )


def test_diff_as_json_is_the_daemons_answer(ctl: Ctl, daemon: StandIn) -> None:
    assert json.loads(ctl("diff", "-o", "json").out) == DIFF


def test_config_is_the_running_daemons(ctl: Ctl, daemon: StandIn) -> None:
    assert json.loads(ctl("config", "show", "-o", "json").out) == CONFIG
    assert ctl("config").out == (
        "NAME         VALUE                ORIGIN\n"
        "etcd-prefix  /coreos.com/network  default\n"
        "run-dir      /run/flanpy          env FLANPYD_RUN_DIR\n"
    )


def test_config_is_this_environments_when_asked_or_when_no_daemon_runs(ctl: Ctl) -> None:
    words = ("config", "show", "-o", "json")
    found = {one["name"]: one for one in json.loads(ctl(*words).out)}
    assert found["run-dir"] == {
        "name": "run-dir",
        "value": str(ctl.run_dir),
        "origin": "env FLANPYD_RUN_DIR",
    }
    assert ctl(*words, "--local").out == ctl(*words).out


def test_config_never_shows_the_password(ctl: Ctl) -> None:
    ended = ctl("config", "show", "--local", "--etcd-username", "root", "--etcd-password", "swordfish")
    assert ended.code == 0
    assert "swordfish" not in ended.out + ended.err


def test_reload_says_what_changed(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["reload"] = {"changed": ["log-level"]}
    assert ctl("reload").out == "changed: log-level\n"
    assert daemon.asked == ["POST reload"]


def test_reload_says_what_waits_for_a_restart(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["reload"] = {"changed": ["iface", "log-level"], "restart_needed": ["iface"]}
    said = "changed: iface, log-level\nnot in force before a restart of flanpyd: iface\n"
    assert ctl("reload").out == said


READERS = (
    ("status",), ("diff",), ("peers",), ("events",), ("config", "show"), ("subnets",), ("mesh",), ("ping", "node-2"),
    ("trace", "10.50.7.2"), ("drain",), ("drain", "--undo"), ("reload",), ("doctor",),
)  # fmt: skip
ODD: tuple[Any, ...] = (
    None, 7, "text", [], {}, [7], ["x"], [{"name": 1}], {"own": 7},
    {"own": ["x"], "subnets": 7, "peers": 7, "events": 7},
    {"subnets": ["x"], "peers": ["x"], "events": ["x"], "conditions": ["x"], "network": 3, "changed": []},
    {"events": [{"at": "x"}], "peers": [{"rtt": "x"}], "subnets": [{"subnet": 3}], "conditions": [{"type": 3}]},
)  # fmt: skip


@pytest.mark.parametrize("words", READERS, ids=" ".join)
def test_answer_of_another_shape_is_told_in_one_line(
    words: tuple[str, ...], ctl: Ctl, daemon: StandIn
) -> None:
    for answer in ODD:
        for resource in (*daemon.answers, "peers", "events", "mesh", "drain", "undrain", "reload"):
            daemon.answers[resource] = answer
        ended = ctl(*words)  # an exception that escapes would fail here
        told = [line for line in ended.err.splitlines() if not line.startswith("not read: ")]
        assert all(line.startswith("flanpyctl: ") for line in told), ended.err
