"""Log lines as an operator gets them."""

from __future__ import annotations

import ast
import io
import json
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from enum import Enum
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

import flanpy
from flanpy.log import KEYS, MASK, configure, get_logger, protect
from flanpy.outage import Outage, Transition

_PACKAGE = Path(flanpy.__file__).parent
_PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----"


class _Phase(Enum):
    READY = "ready"


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure("json", "debug", stream=stream)
    yield stream
    configure()


def _lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_json_line_starts_with_time_level_and_event(out: io.StringIO) -> None:
    get_logger(node="h1").info(
        "lease_acquired", subnet=ip_network("10.1.2.0/24"), phase=_Phase.READY, count=2
    )
    (line,) = _lines(out)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("ts"))
    assert line == {
        "level": "info",
        "event": "lease_acquired",
        "node": "h1",
        "subnet": "10.1.2.0/24",
        "phase": "ready",
        "count": 2,
    }


def test_line_is_one_line_when_a_value_holds_newlines(out: io.StringIO) -> None:
    get_logger().error("pass_failed", error=ValueError("a\nb"))
    assert out.getvalue().count("\n") == 1
    assert _lines(out)[0]["error"] == "ValueError: a\nb"


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("password", "hunter2-hunter2", MASK),
        ("etcd_password", "hunter2-hunter2", MASK),
        ("auth_token", "abc", MASK),
        ("password", "", ""),
        ("value", {"psk": "s3cret", "mtu": 1450}, {"psk": MASK, "mtu": 1450}),
        ("value", [{"token": "x"}], [{"token": MASK}]),
        ("error", f"cannot use {_PEM} here", f"cannot use {MASK} here"),
        ("endpoint", "https://root:pw@h:2379", f"https://root:{MASK}@h:2379"),
        ("endpoint", "https://h:2379", "https://h:2379"),
        ("path", "/etc/flanpy/etcd.key", "/etc/flanpy/etcd.key"),
    ],
)
def test_line_hides_secrets_and_nothing_else(
    out: io.StringIO, key: str, value: object, shown: object
) -> None:
    get_logger().info("setting_read", **{key: value})
    assert _lines(out)[0][key] == shown


def test_line_hides_a_protected_text_when_a_traceback_quotes_it(out: io.StringIO) -> None:
    protect("swordfish-1", "abc")
    try:
        int("password swordfish-1")
    except ValueError as error:
        get_logger().exception("session_failed", error=error)
    assert "swordfish-1" not in out.getvalue()
    assert "Traceback" in _lines(out)[0]["exception"]


def test_console_lines_carry_the_same_values() -> None:
    stream = io.StringIO()
    try:
        configure("console", "info", stream=stream)
        get_logger().info("lease_acquired", subnet=ip_network("10.1.2.0/24"), password="hunter2")
    finally:
        configure()
    assert "lease_acquired" in stream.getvalue()
    assert "subnet=10.1.2.0/24" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


def test_auto_form_is_json_when_nobody_watches() -> None:
    stream = io.StringIO()
    try:
        configure("auto", "info", stream=stream)
        get_logger().info("daemon_started")
    finally:
        configure()
    assert _lines(stream)[0]["event"] == "daemon_started"


def test_level_follows_a_later_configure_when_the_logger_is_old() -> None:
    stream, log = io.StringIO(), get_logger(node="h1")
    try:
        configure("json", "warning", stream=stream)
        log.info("first_noted")
        configure("json", "debug", stream=stream)
        log.debug("second_noted")
    finally:
        configure()
    assert [line["event"] for line in _lines(stream)] == ["second_noted"]


def test_library_warnings_come_out_in_our_form(out: io.StringIO) -> None:
    logging.getLogger("asyncio").warning("slow callback %s", 3)
    (line,) = _lines(out)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "asyncio", "slow callback 3")


def test_library_that_repeats_itself_is_written_once_a_minute_with_what_was_left_out(
    out: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    library = logging.getLogger("asyncio")
    for number in range(500):
        library.error("socket.accept() out of system resource, wait for a second, please: %d", number)
        library.error("something else")
    now[0] += 61
    library.error("socket.accept() out of system resource, wait for a second, please: 501")
    first, other, again = _lines(out)
    assert "count" not in first
    assert other["message"] == "something else"
    assert (again["message"][-3:], again["count"]) == ("501", 499)


def test_library_with_ever_new_lines_is_held_as_well(out: io.StringIO) -> None:
    for number in range(10_000):
        logging.getLogger("aiohttp").error("%d came", number)
    assert len(_lines(out)) <= 65


def test_lines_are_lost_and_nothing_raised_when_the_reader_went_away() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w")
    try:
        configure("json", "info", stream=stream)
        get_logger().info("daemon_started")
    finally:
        configure()
        with pytest.raises(BrokenPipeError):
            stream.close()


@pytest.mark.timeout(60)
def test_lines_are_lost_and_counted_and_nobody_waits_when_the_reader_does_not_read() -> None:
    mine, theirs = os.pipe()
    with os.fdopen(mine, "rb", buffering=0) as reader, os.fdopen(theirs, "w") as stream:
        configure("json", stream=stream)
        for _ in range(3000):
            get_logger().info("peer_added", peer="x" * 100)
        read = reader.read(1 << 20)
        get_logger().info("peer_added", peer="the reader is back")
        read += reader.read(1 << 20)
    lines = [json.loads(line) for line in read.splitlines()]
    assert [line["event"] for line in lines[-2:]] == ["peer_added", "log_lines_lost"]
    assert len(lines) - 2 + lines[-1]["count"] == 3000
    assert lines[-1]["count"] > 1000


def test_auto_form_is_console_when_a_terminal_watches() -> None:
    master, slave = os.openpty()
    try:
        with os.fdopen(slave, "w") as stream:
            configure("auto", "info", stream=stream)
            get_logger().info("daemon_started", node="h1")
            shown = os.read(master, 4096).decode()
    finally:
        configure()
        os.close(master)
    assert "daemon_started" in shown
    assert not shown.startswith("{")


def test_lines_carry_a_priority_when_they_go_to_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        try:
            configure("json", "info", stream=stream)
            get_logger().error("pass_failed")
        finally:
            configure()
        assert (tmp_path / "journal").read_text().startswith('<3>{"ts"')


def test_importing_the_log_module_leaves_rich_out_and_importable() -> None:
    script = "import sys, flanpy.log; assert 'rich' not in sys.modules; import rich.table"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def _log_calls() -> Iterator[tuple[str, ast.Call]]:
    for path in sorted(_PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=attr)) if attr in {
                    "debug", "info", "warning", "error", "exception", "critical",
                }:  # fmt: skip
                    yield f"{path.relative_to(_PACKAGE)}:{node.lineno}", node


def _events(call: ast.Call) -> list[object]:
    match call.args:
        case [ast.IfExp(body=ast.Constant(value=one), orelse=ast.Constant(value=other))]:
            return [one, other]
        case [ast.Constant(value=event)]:
            return [event]
        case _:
            return [None]


def test_log_calls_use_constant_snake_case_events_and_keys_of_the_glossary() -> None:
    wrong = []
    for where, call in _log_calls():
        events = [event for event in _events(call) if not re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", str(event))]
        wrong += [f"{where}: event {event!r}" for event in events]
        wrong += [
            f"{where}: key {k.arg!r} is not in log.KEYS" for k in call.keywords if k.arg and k.arg not in KEYS
        ]
    assert not wrong


def test_transition_speaks_at_the_first_failure_and_the_first_success() -> None:
    outage = Transition()
    assert outage.succeeded(0.0) is None
    assert [outage.failed(float(now)) for now in range(1, 4)] == [True, False, False]
    assert outage.failing
    assert outage.succeeded(11.0) == Outage(seconds=10.0, count=3)
    assert outage.succeeded(12.0) is None
    assert outage.failed(13.0)


def test_transition_counts_failures_that_come_together() -> None:
    outage = Transition()
    assert outage.failed(1.0, count=37)
    assert outage.succeeded(2.0) == Outage(seconds=1.0, count=37)


def test_transition_speaks_once_for_each_further_reason_of_an_outage() -> None:
    outage = Transition()
    reasons = ["timeout", "denied", "timeout", "denied"]
    assert [outage.failed(1.0, reason=reason) for reason in reasons] == [True, True, False, False]


def test_transition_falls_silent_when_every_failure_has_a_reason_of_its_own() -> None:
    outage = Transition()
    assert sum(outage.failed(1.0, reason=f"peer {number}") for number in range(1000)) <= 5
    assert outage.succeeded(2.0) == Outage(seconds=1.0, count=1000)
