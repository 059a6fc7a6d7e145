"""flanpyctl waits its turn where hundreds hang on the control socket."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from flanpy.cli.base.control import SOCKET_NAME, Control
from flanpy.errors import ControlUnreachable


def _full(run_dir: Path, stack: ExitStack) -> socket.socket:
    """A listener whose backlog of one is full: Linux lets one more in."""
    listener = stack.enter_context(socket.socket(socket.AF_UNIX))
    listener.bind(str(run_dir / SOCKET_NAME))
    listener.listen(0)
    crowd = stack.enter_context(socket.socket(socket.AF_UNIX))
    crowd.connect(str(run_dir / SOCKET_NAME))
    late = stack.enter_context(socket.socket(socket.AF_UNIX))
    late.setblocking(False)
    with pytest.raises(BlockingIOError):
        late.connect(str(run_dir / SOCKET_NAME))
    return listener


def test_question_waits_for_room_in_the_backlog(tmp_path: Path) -> None:
    with ExitStack() as stack:
        listener = _full(tmp_path, stack)
        answers: list[object] = []
        asking = threading.Thread(target=lambda: answers.append(Control(tmp_path, deadline=60).get("status")))
        asking.start()
        first, _ = listener.accept()
        with first, listener.accept()[0] as second:
            assert b"/v1/status" in second.recv(4096)
            second.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\ntrue")
            asking.join(60)
        assert answers == [True]


def test_question_that_finds_no_room_is_told_so_at_its_deadline(tmp_path: Path) -> None:
    with ExitStack() as stack:
        _full(tmp_path, stack)
        started = time.monotonic()
        with pytest.raises(ControlUnreachable, match=r"gave no answer to 'status' in 0\.2 s"):
            Control(tmp_path, deadline=0.2).get("status")
        assert time.monotonic() - started >= 0.2
