"""`flanpyctl events` and `top`, on a socket with canned answers."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import time
from contextlib import ExitStack
from typing import Any

import pytest

from flanpy.cli.look.top_view import Counters, TopSample, counters_of, scaled, text_of
from tests.cli.conftest import Ctl
from tests.cli.looks import BLOCKED, EVENTS, NOW, PEERS, peer
from tests.cli.process import DEADLINE_S, PROGRAM, going_on
from tests.cli.stand_in import STATUS, StandIn, standing_in
from tests.cli.test_daemon_commands import UNHEALTHY


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_events_are_printed_oldest_first(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["events"] = EVENTS
    ended = ctl("events")
    assert ended.code == 0
    assert ended.out == (
        "TIME                 EVENT          WHAT                WHY         TIMES\n"
        "2027-01-15 08:00:00  peer_joined    node-2              192.0.2.12  -\n"
        "2027-01-15 08:00:01  repaired       route 10.50.2.0/24  was gone    2\n"
        "2027-01-15 08:00:09  phase_changed  READY               -           -\n"
    )


@pytest.mark.parametrize(("count", "numbers"), [("1", [4]), ("2", [3, 4]), ("0", [1, 3, 4])])
def test_events_n_takes_the_newest(count: str, numbers: list[int], ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["events"] = EVENTS
    said = json.loads(ctl("events", "-n", count, "-o", "json").out)
    assert [event["number"] for event in said["events"]] == numbers


def test_events_refuses_a_negative_count(ctl: Ctl, daemon: StandIn) -> None:
    assert ctl("events", "-n", "-3").code == 2


def test_events_follow_goes_on_with_new_ones_and_over_a_restart_of_the_daemon(ctl: Ctl) -> None:
    """A restarted daemon counts from 1 again: what it tells is new, though its numbers are not."""
    first = EVENTS["events"]
    later = {**first[-1], "number": 5, "kind": "repaired", "what": "fdb"}
    reborn = {**first[0], "number": 1, "what": "node-7"}
    with ExitStack() as watched:
        with standing_in(ctl.run_dir) as daemon:
            daemon.answers["events"] = EVENTS
            lines = watched.enter_context(going_on(ctl, "events", "-f", "-n", "2", "-o", "json"))
            lines.wait(lambda seen: len(seen) == 2)
            rounds = iter([{"events": [later]}])
            daemon.answers["events"] = lambda: next(rounds, {"events": []})
            lines.wait(lambda seen: len(seen) == 3)
        (ctl.run_dir / "flanpyd.sock").unlink(missing_ok=True)
        with standing_in(ctl.run_dir) as daemon:
            again = iter([{"events": [reborn]}])
            daemon.answers["events"] = lambda: next(again, {"events": []})
            lines.wait(lambda seen: len(seen) == 4)
    assert [json.loads(line)["number"] for line in lines.seen] == [3, 4, 5, 1]


def test_events_follow_prints_lines_for_people(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["events"] = EVENTS
    with going_on(ctl, "events", "--follow") as lines:
        lines.wait(lambda seen: len(seen) == 3)
    assert (
        lines.seen[1] == "2027-01-15 08:00:01  repaired             route 10.50.2.0/24  was gone (2 times)\n"
    )


def test_top_prints_once_without_a_terminal(
    ctl: Ctl, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)
    daemon.answers |= {"peers": PEERS, "status": UNHEALTHY}
    ended = ctl("top")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0].startswith("node-1 DEGRADED, 10.50.1.0/24")
    assert "! UnderlayReady False NoLink: no link has 192.0.2.11" in ended.out
    assert "repairs 2 (2 route)" in ended.out
    rows = [
        line.split()[0] for line in lines if "10.50." in line and line.split()[0].startswith(("node-", "-"))
    ]
    assert rows[1:] == ["node-3", "-", "node-2"], "the worst first"


def test_top_exits_3_without_a_daemon(ctl: Ctl) -> None:
    assert ctl("top").code == 3


def test_top_on_a_terminal_redraws_and_leaves_by_q(ctl: Ctl) -> None:
    with standing_in(ctl.run_dir) as daemon:
        daemon.answers |= {"status": STATUS, "peers": {"peers": [peer()]}}
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            [*PROGRAM, "top", "--interval", "0.2"],
            env={**os.environ, "FLANPYD_RUN_DIR": str(ctl.run_dir), "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
            stdin=theirs, stdout=theirs, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(theirs)
        try:
            _read_until(ours, b"node-2")
            daemon.answers["peers"] = {"peers": [BLOCKED]}
            _read_until(ours, b"PortBlocked")
            os.write(ours, b"q")
            _drain(ours)
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
            process.wait(DEADLINE_S)
            os.close(ours)


def _read_until(terminal: int, word: bytes) -> None:
    seen, end = b"", time.monotonic() + DEADLINE_S
    while word not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, seen
        seen += os.read(terminal, 65536)


def _drain(terminal: int) -> None:
    """Read until the other side has gone."""
    try:
        while select.select([terminal], [], [], DEADLINE_S)[0] and os.read(terminal, 65536):
            pass
    except OSError:
        pass


def test_rates_are_the_difference_of_two_looks() -> None:
    def look(at: float, *figures: int) -> TopSample:
        return TopSample(at, NOW, STATUS, (), {"flannel.1": Counters(*figures)})

    before = look(10.0, 1000, 0, 10, 0, 0, 0, 0, 0)
    now = look(12.0, 3_001_000, 500, 30, 2, 1, 0, 0, 0)
    rows = [line.split() for line, _ in text_of(now, before)]
    assert ["flannel.1", "1.5", "MB/s", "250", "B/s", "10", "/s", "1", "/s", "1"] in rows


def test_rates_start_anew_when_the_device_was_made_anew() -> None:
    new = TopSample(12.0, NOW, STATUS, (), {"flannel.1": Counters(5, 5, 1, 1, 0, 0, 0, 0)})
    old = TopSample(10.0, NOW, STATUS, (), {"flannel.1": Counters(900, 900, 9, 9, 0, 0, 0, 0)})
    assert ["flannel.1", "5", "B", "5", "B", "1", "1", "0"] in [line.split() for line, _ in text_of(new, old)]


def test_counters_are_read_from_the_kernels_columns() -> None:
    line = "flannel.1:  1000   10   1    2    0     0          0         0   2000   20   3    4    0     0       0   0"
    name, found = counters_of(line)
    assert (name, found.rx_bytes, found.tx_bytes, found.rx_packets, found.tx_packets) == (
        "flannel.1",
        1000,
        2000,
        10,
        20,
    )
    assert found.lost == 1 + 2 + 3 + 4


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 "), (999, "999 "), (1000, "1.0 k"), (12_345, "12 k"), (4.2e9, "4.2 G"), (5e15, "5000 T")],
)
def test_scaled_has_a_decimal_prefix(value: float, text: str) -> None:
    assert scaled(value) == text
