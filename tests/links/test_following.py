"""Docker's news as they come over its socket: followed while there is something to look at, over restarts of Docker."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from flanpy.links.following import follow


def _answer(
    server: socket.socket, head: bytes, news: bytes = b"", after: threading.Event | None = None
) -> None:
    """Take one connection, and send the head, and the news `after` it was taken; then Docker goes."""
    connection, _ = server.accept()
    with connection:
        assert connection.recv(1 << 16).startswith(b"GET /events?")
        connection.sendall(head)
        if after is not None:
            assert after.wait(10)
            connection.sendall(news)  # a reader that was refused has gone by now


def test_nothing_is_asked_of_docker_when_nothing_is_wanted(tmp_path: Path) -> None:
    follow(tmp_path / "none.sock", lambda: False, lambda: pytest.fail("looked"))


def test_each_start_of_docker_and_each_piece_of_news_is_a_look(tmp_path: Path) -> None:
    path = tmp_path / "docker.sock"
    looks: list[int] = []
    connected_twice = threading.Event()

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            connected_twice.set()

    good = b"HTTP/1.0 200 OK\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def docker() -> None:
            _answer(server, b"HTTP/1.0 503 Service Unavailable\r\n\r\n")
            _answer(server, good)
            _answer(server, good, b'{"status":"start"}\n', connected_twice)

        thread = threading.Thread(target=docker)
        thread.start()
        follow(path, lambda: len(looks) < 3, look, away=0.01)
        thread.join()
    assert len(looks) == 3
