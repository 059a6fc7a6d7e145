"""The watcher over real sockets: what it makes of one that is dead, mute, odd or too long, and how often it looks."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.docker import watcher
from flanpy.docker.api import NOT_DOCKER, look
from flanpy.docker.facts import DockerFacts, facts
from flanpy.docker.verdict import Mode, Silence, Silent
from flanpy.docker.watcher import DockerReport, DockerWatcher
from tests.docker.values import WANTED

INFO = {"ServerVersion": "28.5.2", "LiveRestoreEnabled": False, "ContainersRunning": 1}
BRIDGE = {
    "Name": "bridge",
    "Id": "a" * 64,
    "IPAM": {"Config": [{"Subnet": "10.50.7.0/24", "Gateway": "10.50.7.1"}]},
    "Options": {"com.docker.network.driver.mtu": "1450", "com.docker.network.bridge.name": "fp-no-such"},
}
Answer = Callable[[str], bytes]


def docker(resource: str) -> bytes:
    """Answer as a Docker that has our subnet."""
    document = {"/info": INFO, "/networks/bridge": BRIDGE}.get(resource)
    if document is None:
        return b'HTTP/1.0 404 Not Found\r\n\r\n{"message":"network flanpy not found"}'
    return b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + json.dumps(document).encode()


async def seen(path: Path, answer: Answer | None, *, deadline: float = 60.0) -> DockerFacts | Silent:
    """Return one look at a socket on which `answer` speaks; None: nobody ever does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if answer is None:
            await asyncio.Event().wait()
        else:
            with suppress(ConnectionError):
                writer.write(answer(request.split()[1].decode()))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        return await look(path, {}, deadline=deadline)
    finally:
        server.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "docker.sock"


async def _silent(path: Path, answer: Answer | None, **more: Any) -> Silence:
    found = await seen(path, answer, **more)
    assert isinstance(found, Silent), found
    assert found.detail
    assert "\n" not in found.detail
    return found.why


@pytest.mark.asyncio
async def test_docker_that_answers_is_read(path: Path) -> None:
    found = await seen(path, docker)
    assert isinstance(found, DockerFacts)
    assert (str(found.version), str(found.default and found.default.subnet)) == ("28.5.2", "10.50.7.0/24")
    assert found.own is None


@pytest.mark.asyncio
async def test_socket_on_which_nobody_listens_is_a_docker_that_does_not_run(path: Path) -> None:
    for there in (False, True):
        if there:
            _dead_socket(path)
        found = await look(path, {})
        assert isinstance(found, Silent)
        assert found.why is Silence.NOT_RUNNING
    assert await _silent(path.with_name("second"), lambda _: b"") is Silence.NOT_RUNNING


def _dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


@pytest.mark.asyncio
async def test_docker_that_takes_connections_and_says_nothing_is_hung(path: Path) -> None:
    assert await _silent(path, None, deadline=0.2) is Silence.HUNG


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 500 Oops\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\n[]",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b'HTTP/1.0 200 OK\r\n\r\n{"ServerVersion": "dev"}',
        b"HTTP/1.0\r\n\r\n{}",
        b"\xff\xfe\r\n\r\n\xff",
        b"HTTP/1.0 200 OK\r\n\r\n" + b" " * (9 << 20),
        b'HTTP/1.0 200 OK\r\n\r\n{"ServerVersion": "20.10.1", "ContainersRunning": "many"}',
        b'HTTP/1.0 200 OK\r\n\r\n{"ServerVersion": "20.10.1", "IPAM": 5, "Options": []}',
    ],
)
async def test_what_does_not_answer_as_docker_does_is_not_understood(path: Path, answer: bytes) -> None:
    assert await _silent(path, lambda _: answer) is Silence.STRANGE


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from([*INFO, *BRIDGE, "Config", "Subnet", "Containers", "Labels"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)
_DOCUMENTS = st.dictionaries(
    st.sampled_from([*INFO, *BRIDGE, "Containers", "FirewallBackend"]), _JSON, max_size=6
)


@given(_DOCUMENTS, _DOCUMENTS)
def test_documents_of_any_shape_are_facts_or_no_docker(info: dict[str, Any], default: dict[str, Any]) -> None:
    with suppress(*NOT_DOCKER):
        assert isinstance(facts({"ServerVersion": "20.10", **info}, default, None), DockerFacts)


def test_socket_that_we_may_not_use_is_forbidden(path: Path) -> None:
    _dead_socket(path)
    path.chmod(0)
    child = os.fork()
    if not child:
        os._exit(_refused_as_nobody(path))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _refused_as_nobody(path: Path) -> int:
    """Ask in a process of its own, as root may use any socket. 0: it was forbidden."""
    with suppress(BaseException):
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        found = asyncio.run(look(path, {}))
        return int(not (isinstance(found, Silent) and found.why is Silence.FORBIDDEN))
    return 2


class Pace:
    """A clock that notes each wait, and ends the watch after some."""

    def __init__(self, waits: int) -> None:
        self.waited: list[float] = []
        self._waits = waits

    def monotonic(self) -> float:
        return sum(self.waited)

    def wall(self) -> float:
        return self.monotonic()

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        if len(self.waited) == self._waits:
            raise asyncio.CancelledError
        await asyncio.sleep(0)


@pytest.mark.asyncio
async def test_watcher_looks_often_after_a_change_and_seldom_later_and_reports_only_changes(
    path: Path,
) -> None:
    pace, noted = Pace(15), list[DockerReport]()
    watch = DockerWatcher(
        socket=path,
        config_file=path.with_name("daemon.json"),
        mode=Mode.AUTO,
        accepts=True,
        wanted=lambda: WANTED,
        note=noted.append,
        clock=pace,
    )
    with pytest.raises(asyncio.CancelledError):
        await watch.run()
    assert [report.condition.reason for report in noted] == ["NotRunning"]
    assert pace.waited == [watcher.LIVELY_INTERVAL_S] * 10 + [watcher.INTERVAL_S] * 5


def test_daemon_does_not_load_dockers_sdk() -> None:
    """It costs 6 MB, and the requests below it."""
    check = "import flanpy.daemon.agent, sys; print([name for name in ('docker', 'requests') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=110, check=True
    )
    assert done.stdout.strip() == "[]"
