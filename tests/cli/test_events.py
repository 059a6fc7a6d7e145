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

from flanpy.api.reading import read
from flanpy.api.status import StatusDocument
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
        "FIRST                LAST  TIMES  EVENT\n"
        "2027-01-15 08:00:00  -     -      peer joined node-2 192.0.2.12\n"
        "2027-01-15 08:00:01  -     2      repaired route 10.50.2.0/24 was gone\n"
        "2027-01-15 08:00:09  -     -      phase changed READY\n"
    ), "a daemon of an earlier version makes no sentences"


def _row(number: int, at: float, **more: Any) -> dict[str, Any]:
    first = {**EVENTS["events"][0], "number": number, "at": at, "first_at": at, "lasts": False, "about": []}
    return {**first, **more}


FLAPS = _row(
    7, NOW + 4000, first_at=NOW, kind="peer_unreachable", what="web-2", count=5, times=5,
    text="web-2 stopped answering 5 times, 2 min 11 s in all; at last back after 9 s: PortBlocked",
    about=["web-2", "8b59", "10.50.2.0-24"],
)  # fmt: skip
STORY = {
    "epoch": "1",
    "events": [
        _row(5, NOW + 100, text="flanpyd 0.1.0 started; ready after 0.9 s", kind="started"),
        _row(6, NOW + 200, text="web-3 joined: 192.0.2.13", about=["web-3", "10.50.3.0-24"]),
        FLAPS,
        _row(8, NOW + 5000, text="12 peers joined: web-9, …", count=12, about=["10.50.9.0-24"], unlisted=11),
    ],
}


def test_events_tell_first_and_last_time_in_the_daemons_words(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["events"] = STORY
    lines = ctl("events").out.splitlines()
    assert lines[3] == f"2027-01-15 08:00:00  09:06:40  5      {FLAPS['text']}"
    assert lines[1] == "2027-01-15 08:01:40  -         -      flanpyd 0.1.0 started; ready after 0.9 s"
    wide = ctl("events", "-o", "wide").out.splitlines()[3]
    assert "  peer_unreachable  web-2   web-2 stopped answering" in wide


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("--since", "1h"), [7, 8]),
        (("--since", "5000s"), [6, 7, 8]),
        (("--since", "09:20"), [8]),
        (("--since", "2027-01-15 09:00"), [7, 8]),
        (("--since", "2027-01-15T09:00:00+00:00"), [7, 8]),
        (("--since", "23:00"), [5, 6, 7, 8]),
        (("--peer", "web-2"), [7, 8]),
        (("--peer", "10.50.3.9"), [6, 8]),
        (("--peer", "8b59"), [7, 8]),
        (("--peer", "web-3", "--since", "1h"), [8]),
        (("--peer", "web-2", "-n", "1"), [8]),
    ],
)
def test_events_are_chosen_by_time_and_by_host(
    words: tuple[str, ...], numbers: list[int], ctl: Ctl, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is named as everywhere, one that has left by its name; a crowd may hold any host."""
    monkeypatch.setattr("time.time", lambda: NOW + 5200)
    daemon.answers["events"] = STORY
    row = {"host": "web-3", "node_id": "", "subnet": "10.50.3.0/24", "subnet6": None}
    daemon.answers["subnets"] = {"subnets": [row]}
    ended = ctl("events", *words, "-o", "json")
    assert [event["number"] for event in json.loads(ended.out)["events"]] == numbers


@pytest.mark.parametrize(
    ("words", "said"), [(("--since", "yesterday"), "15m, 2h"), (("--peer", "web-77"), "flanpyctl subnets")]
)
def test_events_refuse_a_time_or_a_host_that_is_none(
    words: tuple[str, ...], said: str, ctl: Ctl, daemon: StandIn
) -> None:
    daemon.answers |= {"events": STORY, "subnets": {"subnets": []}}
    ended = ctl("events", *words)
    assert ended.code == 2
    assert words[1] in ended.err
    assert said in ended.err


def test_events_what_lasts_is_shown_however_long_ago_it_began(ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["events"] = {
        "epoch": "1",
        "events": [_row(1, NOW - 80_000, lasts=True, text="web-2 is away")],
    }
    assert "web-2 is away" in ctl("events", "--since", "1m").out


def test_events_follow_goes_on_where_it_was_over_a_restart_that_kept_the_events(ctl: Ctl) -> None:
    """The numbers go on, so what was told before is not told again; with another epoch all of it is new."""
    asked: list[str] = []
    rounds = iter([[1, 2], [], [10_003]])
    with standing_in(ctl.run_dir) as daemon:

        def answer() -> dict[str, Any]:
            numbers = next(rounds, None)
            if numbers is None:
                return {"epoch": "b", "events": [_row(1, NOW, text="again")] if not asked else []}
            return {"epoch": "a", "events": [_row(number, NOW, text=str(number)) for number in numbers]}

        daemon.answers["events"] = answer
        with going_on(ctl, "events", "-f", "-o", "json") as lines:
            lines.wait(lambda seen: len(seen) == 4)
            asked.append("seen")
    assert [json.loads(line)["text"] for line in lines.seen] == ["1", "2", "10003", "again"]


@pytest.mark.parametrize(("count", "numbers"), [("1", [4]), ("2", [3, 4]), ("0", [1, 3, 4])])
def test_events_n_takes_the_newest(count: str, numbers: list[int], ctl: Ctl, daemon: StandIn) -> None:
    daemon.answers["events"] = EVENTS
    said = json.loads(ctl("events", "-n", count, "-o", "json").out)
    assert [event["number"] for event in said["events"]] == numbers


def test_events_refuses_a_negative_count(ctl: Ctl, daemon: StandIn) -> None:
    assert ctl("events", "-n", "-3").code == 2


def test_events_follow_goes_on_with_new_ones_and_over_a_restart_of_the_daemon(ctl: Ctl) -> None:
    """A daemon of an earlier version counts from 1 again: what it tells is new, though its numbers are not."""
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
    assert lines.seen[1] == "2027-01-15 08:00:01  repaired route 10.50.2.0/24 was gone\n"


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


SAID = read(StatusDocument, STATUS)


def test_rates_are_the_difference_of_two_looks() -> None:
    def look(at: float, *figures: int) -> TopSample:
        return TopSample(at, NOW, SAID, (), {"flannel.1": Counters(*figures)})

    before = look(10.0, 1000, 0, 10, 0, 0, 0, 0, 0)
    now = look(12.0, 3_001_000, 500, 30, 2, 1, 0, 0, 0)
    rows = [line.split() for line, _ in text_of(now, before)]
    assert ["flannel.1", "1.5", "MB/s", "250", "B/s", "10", "/s", "1", "/s", "1"] in rows


def test_rates_start_anew_when_the_device_was_made_anew() -> None:
    new = TopSample(12.0, NOW, SAID, (), {"flannel.1": Counters(5, 5, 1, 1, 0, 0, 0, 0)})
    old = TopSample(10.0, NOW, SAID, (), {"flannel.1": Counters(900, 900, 9, 9, 0, 0, 0, 0)})
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
