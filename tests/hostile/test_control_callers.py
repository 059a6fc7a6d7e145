"""The control socket asks the kernel who is there: strangers are refused, members of its group may only look."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flanpy.status.http.callers import Caller, Door
from flanpy.status.http.server import ControlRequests, control_app, serve_unix

pytestmark = pytest.mark.netns  # needs root, to become somebody else

STRANGER, OPERATORS = 65_534, 54_321
LOOKS = ("status", "subnets", "diff", "config", "peers", "events", "mesh")


@pytest.fixture
def path() -> Iterator[Path]:
    """Of a socket that anybody reaches: a careless chmod."""
    directory = Path(tempfile.mkdtemp(prefix="flanpy-door-"))
    directory.chmod(0o755)
    yield directory / "flanpyd.sock"
    shutil.rmtree(directory)


def _as_user(uid: int, groups: tuple[int, ...], path: Path, request: str) -> tuple[int, Any]:
    """Ask the socket as a process of that user; return the answer: (status, document)."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups[1:])
            os.setgid(groups[0])
            os.setuid(uid)
            os.write(theirs, _ask(path, request))
        finally:
            os._exit(0)
    os.close(theirs)
    with open(mine, "rb") as answer:  # noqa: PTH123 - a descriptor
        text = answer.read()
    os.waitpid(child, 0)
    head, _, body = text.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if body.startswith(b"{") else body


def _ask(path: Path, request: str) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(30)
        sock.connect(str(path))
        sock.sendall(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while more := sock.recv(65_536):
            answer += more
        return answer


def _asked(path: Path, uid: int, groups: tuple[int, ...], *requests: str) -> list[tuple[int, Any]]:
    """Serve there, with mode 0666, and ask."""
    done: list[str] = []

    async def served() -> list[tuple[int, Any]]:
        async def said() -> Any:
            done.append("asked")
            return {"said": "all"}

        async def told(_after: int) -> Any:
            return await said()

        control = ControlRequests(
            status=said, subnets=said, diff=said, config=said, reload=said, peers=said, mesh=said, verdict=said,
            probe=said, drain=said, undrain=said, keys=said, rotate=said, events=told,
        )  # fmt: skip
        runner = await serve_unix(control_app(control, Door(path)), path)
        try:
            path.chmod(0o666)
            os.chown(path, 0, OPERATORS)
            return [await asyncio.to_thread(_as_user, uid, groups, path, each) for each in requests]
        finally:
            await runner.cleanup()

    answers = asyncio.run(served())
    assert len(done) == sum(status == 200 for status, _ in answers), "who is refused reaches nothing"
    return answers


def test_root_may_ask_for_everything(path: Path) -> None:
    answers = _asked(
        path, 0, (0,), *(f"GET /v1/{name}" for name in LOOKS), "POST /v1/probe", "POST /v1/reload"
    )
    assert {status for status, _ in answers} == {200}


def test_stranger_is_refused_everything_with_one_line_though_the_socket_is_open_to_all(path: Path) -> None:
    requests = (
        *(f"GET /v1/{name}" for name in LOOKS),
        "POST /v1/probe",
        "POST /v1/reload",
        "GET /v1/nothing",
    )
    for status, document in _asked(path, STRANGER, (STRANGER,), *requests):
        assert status == 403
        assert f"not uid {STRANGER}" in document["error"]
        assert "\n" not in document["error"]


@pytest.mark.parametrize(
    "groups", [(OPERATORS,), (STRANGER, OPERATORS), (STRANGER, *range(1000, 1100), OPERATORS)]
)
def test_member_of_the_sockets_group_may_look_and_probe_and_not_reload(
    path: Path, groups: tuple[int, ...]
) -> None:
    looks = _asked(path, STRANGER, groups, *(f"GET /v1/{name}" for name in LOOKS), "POST /v1/probe")
    assert {status for status, _ in looks} == {200}
    ((status, document),) = _asked(path, STRANGER, groups, "POST /v1/reload")
    assert status == 403
    assert document["error"] == f"only root and flanpyd's own user may ask for this, not uid {STRANGER}"


def test_action_is_refused_however_its_path_is_written(path: Path) -> None:
    requests = (
        "POST /v1/%72eload",
        "POST /v1/./reload",
        "POST //v1/reload",
        "POST /v1/reload?x",
        "POST /v1/reload/",
    )
    for status, _ in _asked(path, STRANGER, (OPERATORS,), *requests):
        assert status in {403, 404}


def test_group_without_a_socket_is_nobodys(tmp_path: Path) -> None:
    caller = Caller(1, STRANGER, frozenset({0}))
    assert "may ask" in Door(tmp_path / "gone").refusal(caller, acts=False)


def test_own_user_may_ask_for_everything_without_being_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    caller = Caller(1, STRANGER, frozenset())
    assert Door(tmp_path / "any").refusal(caller, acts=True) == ""


def test_caller_of_a_socket_pair_is_this_process() -> None:
    left, right = socket.socketpair()
    with left, right:
        caller = Caller.of(left)
    assert (caller.pid, caller.uid) == (os.getpid(), os.geteuid())
    assert {os.getegid(), *os.getgroups()} == caller.groups
