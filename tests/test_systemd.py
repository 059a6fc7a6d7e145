"""sd_notify(3): the datagrams, on real sockets, and the silence when nobody listens."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flanpy.systemd import Notifier, watchdog_interval

Say = Callable[[Notifier], None]


@contextmanager
def _listening(name: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name)
        server.settimeout(5)
        yield server


def _heard(server: socket.socket) -> str:
    return server.recv(4096).decode()


@pytest.mark.parametrize(
    ("say", "datagram"),
    [
        (lambda n: n.ready(), "READY=1"),
        (lambda n: n.ready("3 peers"), "READY=1\nSTATUS=3 peers"),
        (lambda n: n.status("waiting for etcd"), "STATUS=waiting for etcd"),
        (lambda n: n.status("a\nWATCHDOG=trigger"), "STATUS=a WATCHDOG=trigger"),
        (lambda n: n.watchdog(), "WATCHDOG=1"),
        (lambda n: n.extend(60.0), "EXTEND_TIMEOUT_USEC=60000000"),
        (lambda n: n.stopping(), "STOPPING=1"),
    ],
)
def test_notifier_sends_the_state_when_a_path_socket_listens(tmp_path: Path, say: Say, datagram: str) -> None:
    path = str(tmp_path / "notify")
    with _listening(path) as server:
        say(Notifier.from_environ({"NOTIFY_SOCKET": path}))
        assert _heard(server) == datagram


def test_notifier_sends_the_state_when_an_abstract_socket_listens() -> None:
    name = f"flanpy-test-{os.getpid()}"
    with _listening(f"\0{name}") as server:
        Notifier.from_environ({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert _heard(server) == "READY=1"


def test_notifier_sends_the_monotonic_time_when_it_reloads(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with _listening(path) as server:
        before = time.monotonic_ns() // 1000
        Notifier.from_environ({"NOTIFY_SOCKET": path}).reloading()
        state, _, usec = _heard(server).partition("\nMONOTONIC_USEC=")
    assert state == "RELOADING=1"
    assert before <= int(usec) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"NOTIFY_SOCKET": ""},
        {"NOTIFY_SOCKET": "vsock:2:1234"},
        {"NOTIFY_SOCKET": "/nonexistent/notify"},
        {"NOTIFY_SOCKET": "/" + "x" * 200},
        {"NOTIFY_SOCKET": "@flanpy-nobody-listens"},
        {"NOTIFY_SOCKET": "/with\0nul"},
    ],
)
def test_notifier_stays_silent_when_nobody_can_hear(environ: dict[str, str]) -> None:
    Notifier.from_environ(environ).ready("x")


def test_notifier_does_not_block_when_the_listener_is_stuck(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with _listening(path):
        notifier = Notifier.from_environ({"NOTIFY_SOCKET": path})
        for _ in range(5000):  # far more than a socket's queue holds
            notifier.watchdog()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "³"}, None),
    ],
)
def test_watchdog_interval_is_half_the_timeout_when_it_is_meant_for_us(
    environ: dict[str, str], seconds: float | None
) -> None:
    assert watchdog_interval(environ, pid=7) == seconds
