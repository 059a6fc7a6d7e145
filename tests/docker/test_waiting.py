"""The end of a wait for Docker: an answer that is wanted, the first of the new process, or none."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from types import SimpleNamespace
from typing import Any

import pytest

from flanpy.docker import restart
from flanpy.docker.client import Container
from flanpy.docker.facts import DockerFacts
from flanpy.docker.restart import stopped_by, wait_for
from flanpy.errors import DockerUnreachable
from tests.docker.values import running

ENOUGH_S = 60.0
BRIDGE = {"Name": "bridge", "Id": "a" * 64}


class Speaking(ThreadingUnixStreamServer):
    """A Docker that runs as many containers as it was looked at before; `held` are its open connections."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), Answering)
        self.asked = 0
        self.held: set[Any] = set()

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, _ = super().get_request()
        self.held.add(connection)
        return connection, ("", 0)

    def shutdown_request(self, request: Any) -> None:
        self.held.discard(request)
        super().shutdown_request(request)


class Answering(BaseHTTPRequestHandler):
    """One connection to it; it is kept open for further requests, as Docker does."""

    protocol_version = "HTTP/1.1"
    server: Speaking

    def do_GET(self) -> None:
        asked = self.path.rsplit("/", 1)[-1]
        documents = {
            "version": {"ApiVersion": "1.41"},
            "info": {"ServerVersion": "20.10.24", "ContainersRunning": self.server.asked},
            "bridge": BRIDGE,
        }
        self.server.asked += asked == "info"
        body = json.dumps(documents.get(asked, {"message": "none"})).encode()
        with suppress(OSError):
            self.send_response(200 if asked in documents else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Keep quiet."""


@contextmanager
def speaking(path: Path) -> Iterator[Speaking]:
    with Speaking(path) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "_POLL_S", 0.01)


def after(looks: int) -> Callable[[DockerFacts], bool]:
    return lambda found: found.running >= looks


def test_wait_ends_at_the_first_good_look_and_leaves_no_connection(path: Path) -> None:
    with speaking(path) as server:
        found = wait_for(path, ENOUGH_S, after(3), ended=lambda: False)
        assert found.running == 3
        deadline = time.monotonic() + ENOUGH_S
        while server.held and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not server.held


def test_wait_ends_at_the_first_look_at_a_process_that_is_another_though_it_is_not_good(path: Path) -> None:
    with speaking(path):
        answers = iter([False, False, True])
        assert wait_for(path, ENOUGH_S, lambda _: False, ended=lambda: next(answers)).running == 2


def test_wait_ends_with_the_last_look_when_none_was_good_in_time(path: Path) -> None:
    begun = time.monotonic()
    with speaking(path):
        found = wait_for(path, 2.0, lambda _: False, ended=lambda: False)
    assert found.running > 3
    assert time.monotonic() - begun >= 2.0


def test_wait_bears_a_docker_that_is_not_there_yet_and_looks_once_more_at_the_end(path: Path) -> None:
    def come() -> None:
        time.sleep(0.3)
        with speaking(path):
            done.wait(ENOUGH_S)

    done = threading.Event()
    thread = threading.Thread(target=come)
    thread.start()
    try:
        assert wait_for(path, ENOUGH_S, after(1), ended=lambda: False).running == 1
    finally:
        done.set()
        thread.join()


def test_wait_for_a_docker_that_does_not_come_ends_in_time_and_says_how_long_it_was(path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(DockerUnreachable, match=r"no Docker listens on .* \(waited 1\.5 s\)"):
        wait_for(path, 1.5, after(0), ended=lambda: True)
    assert 1.5 <= time.monotonic() - begun < ENOUGH_S


class Clock:
    """Time that passes with each look: what is asked of a Docker is noted, and none answers or is good."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, took: float, *, answers: bool) -> None:
        self.now = 100.0
        self.closed = 0
        self.deadlines: list[float] = []
        self.slept: list[float] = []
        clock = self

        class NoDocker:
            def __init__(self, path: Path, *, deadline: float = 0.0) -> None:
                clock.deadlines.append(deadline)

            def look(self) -> DockerFacts:
                clock.now += took
                if answers:
                    return running()
                raise DockerUnreachable("silence")

            def close(self) -> None:
                clock.closed += 1

        monkeypatch.setattr(restart, "Docker", NoDocker)
        time = SimpleNamespace(monotonic=lambda: self.now, sleep=self.slept.append)
        monkeypatch.setattr("flanpy.docker.restart.time", time)


@pytest.mark.parametrize("answers", [True, False])
def test_each_look_has_a_deadline_of_what_is_left_between_one_and_five_seconds_and_the_last_is_at_the_end(
    answers: bool, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 2.5, answers=answers)
    with nullcontext() if answers else pytest.raises(DockerUnreachable, match=r"silence \(waited 10 s\)"):
        wait_for(path, 10.0, lambda _: False, ended=lambda: False)
    assert clock.deadlines == [5.0, 5.0, 5.0, 2.5, 1.0]
    assert clock.slept == [0.01] * 4
    assert clock.closed == 5


@pytest.mark.parametrize("live_restore", [True, False])
def test_restart_stops_what_runs_but_with_live_restore(live_restore: bool) -> None:
    class OneContainer:
        def running(self) -> tuple[Container, ...]:
            return (Container("web", "1"),)

    stopped = stopped_by(OneContainer(), running(live_restore=live_restore))  # type: ignore[arg-type]
    assert stopped == (() if live_restore else (Container("web", "1"),))
    assert stopped_by(OneContainer(), None) == ()  # type: ignore[arg-type]
