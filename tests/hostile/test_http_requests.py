"""Hostile requests to the health port, the page or the control socket: the next honest request is answered."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flanpy.clock import SystemClock
from flanpy.page.app import page_app
from flanpy.page.gate import PageGate
from flanpy.page.stream import Feed
from flanpy.status.board import StatusBoard
from flanpy.status.http import server as http
from flanpy.status.http.callers import Door
from flanpy.status.http.limits import MOST_CONNECTIONS
from flanpy.status.http.server import ControlRequests
from flanpy.status.metrics.page import MetricsPage
from integration.drivers.matrix.outcome import in_full
from tests.page.server import certificate

EXAMPLES = settings(
    max_examples=2000 if in_full() else 40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
PATIENCE_S = 60.0
CROWD = MOST_CONNECTIONS + 60


@dataclass(frozen=True, slots=True)
class Listener:
    """The address of a listener, and its answer to an honest request."""

    name: str
    address: Any
    resource: str
    trust: ssl.SSLContext | None = None

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        sock.connect(
            self.address
        )  # without a timeout: with one, a full backlog of a unix socket is an error at once
        sock.settimeout(PATIENCE_S)
        return self.trust.wrap_socket(sock, server_hostname="127.0.0.1") if self.trust else sock

    def answers(self) -> bool:
        """An honest request."""
        with self.connect() as sock:
            sock.sendall(
                f"GET {self.resource} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
            )
            return sock.recv(64).startswith(b"HTTP/1.1 200 ")


def _control() -> ControlRequests:
    async def said() -> Any:
        return {"said": "all"}

    async def told(_after: int) -> Any:
        return await said()

    return ControlRequests(
        status=said, subnets=said, diff=said, config=said, reload=said, peers=said, mesh=said, verdict=said, probe=said,
        drain=said, undrain=said, keys=said, rotate=said, events=told,
    )  # fmt: skip


async def _serve(directory: Path) -> tuple[list[Listener], list[Any]]:
    board = StatusBoard(SystemClock())
    path = directory / "flanpyd.sock"

    async def document() -> Any:
        return {}

    health = await http.serve_tcp(
        http.health_app(lambda: board.snapshot, MetricsPage(lambda: board.snapshot, list)), "127.0.0.1", 0
    )

    def app() -> web.Application:
        return page_app(PageGate(loopback=True), Feed(lambda: board.snapshot, document), SystemClock())

    page = await http.serve_tcp(app(), "127.0.0.1", 0)
    cert, key = certificate(directory, "node")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(cert, key)
    encrypted = await http.serve_tcp(app(), "127.0.0.1", 0, tls=tls)
    control = await http.serve_unix(http.control_app(_control(), Door(path)), path)
    listeners = [
        Listener("health", health.addresses[0], "/healthz"),
        Listener("page", page.addresses[0], "/page.css"),
        Listener("tls", encrypted.addresses[0], "/page.css", ssl.create_default_context(cafile=str(cert))),
        Listener("control", str(path), "/v1/status"),
    ]
    return listeners, [health, page, encrypted, control]


async def _rest() -> None:
    """Wait until the lingering connections have ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others, timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def listeners() -> Iterator[dict[str, Listener]]:
    """All of them on one event loop, as in the daemon."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    with tempfile.TemporaryDirectory(prefix="flanpy-http-") as directory:
        try:
            served, runners = asyncio.run_coroutine_threadsafe(_serve(Path(directory)), loop).result(
                PATIENCE_S
            )
            yield {one.name: one for one in served}
            for runner in runners:
                asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(PATIENCE_S)
            asyncio.run_coroutine_threadsafe(_rest(), loop).result(PATIENCE_S)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


NAMES = ("health", "page", "tls", "control")


class End(Enum):
    """The ways in which a client leaves."""

    CLOSED = "closed"
    HALF = "half closed, and waits for the answer"
    RESET = "reset"
    STAYS = "stays"


WORDS = (
    b"GET ", b"POST ", b"HEAD ", b"PUT ", b"\xff ", b"/healthz", b"/metrics", b"/v1/status", b"/v1/events?after=",
    b"/events", b"/entry", b"/v1/reload", b"/../../etc/passwd", b"/%00%ff%2e%2e/", b"?" + b"a" * 9000, b" HTTP/1.1",
    b" HTTP/1.0", b" HTTP/9.9", b"\r\n", b"\n", b"\r\n\r\n", b"Host: localhost", b"Host: evil.example", b"Host:",
    b"Content-Length: 99999999999999999999", b"Content-Length: -1", b"Content-Length: 5", b"Content-Length: 5,6",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"ffffffffffffffff\r\n", b"5\r\nhello\r\n",
    b"0\r\n\r\n", b"Expect: 100-continue", b"Upgrade: websocket", b"Connection: upgrade", b"Connection: close",
    b"X: " + b"y" * 9000, b"X\x00: y", b": nothing", b" folded: x", b"Cookie: " + b"a=b;" * 2000,
    b"Accept: " + b"text/plain;q=0.5," * 500, b"Accept-Encoding: gzip", b"Range: bytes=0-,1-,-9",
    b"Content-Type: multipart/form-data; boundary=", b"Content-Type: application/x-www-form-urlencoded",
    b"token=" + b"%" * 5000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 100,
)  # fmt: skip
bites = st.lists(st.one_of(st.sampled_from(WORDS), st.binary(max_size=30)), max_size=14)
honest_start = st.sampled_from([
    [], [b"GET /metrics HTTP/1.1\r\n"], [b"POST /entry HTTP/1.1\r\nHost: localhost\r\n"],
    [b"POST /v1/reload HTTP/1.1\r\nHost: x\r\n"], [b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"] * 3,
])  # fmt: skip
requests = st.tuples(honest_start, bites).map(lambda both: [*both[0], *both[1]])


def _sent(listener: Listener, pieces: list[bytes], end: End) -> socket.socket | None:
    """The client's part; the socket if it stays."""
    sock = listener.connect()
    with suppress(OSError):  # it may be hung up on us by now
        for piece in pieces:
            sock.sendall(piece)
        match end:
            case End.STAYS:
                return sock
            case End.HALF:
                sock.shutdown(socket.SHUT_WR)
                sock.settimeout(0.05)
                while sock.recv(65_536):
                    pass
            case End.RESET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case End.CLOSED:
                pass
    sock.close()
    return None


@pytest.mark.parametrize("name", NAMES)
def test_any_requests_are_answered_or_refused_and_the_next_honest_one_is_answered(
    listeners: dict[str, Listener], name: str
) -> None:
    listener = listeners[name]
    with ExitStack() as staying:

        @EXAMPLES
        @given(requests, st.sampled_from(End))
        @example([b"GET /metrics HTTP/1.1\r\n\r\n"] * 200, End.RESET)
        @example([b"POST /v1/reload HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"F" * 60_000], End.HALF)
        def sent(pieces: list[bytes], end: End) -> None:
            if (sock := _sent(listener, pieces, end)) is not None:
                staying.enter_context(sock)
            assert listener.answers()

        sent()


@pytest.mark.parametrize("name", NAMES)
def test_crowd_that_dawdles_keeps_nobody_out_and_is_bounded(
    listeners: dict[str, Listener], name: str
) -> None:
    listener = listeners[name]
    with ExitStack() as stack:
        crowd = []
        for number in range(CROWD):
            crowd.append(stack.enter_context(listener.connect()))
            with suppress(OSError):
                crowd[-1].sendall(b"GET /metrics HTTP/1.1\r\nX: " + b"y" * (number % 7))
        assert listener.answers()
        ended = sum(map(_was_ended, crowd))
        assert CROWD - ended <= MOST_CONNECTIONS
        assert not _was_ended(crowd[-1]), "the latest are served"


def _was_ended(sock: socket.socket) -> bool:
    sock.settimeout(0.001)
    try:
        return sock.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "start",
    [
        b"GET /" + b"a" * 1000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /entry HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=["line", "headers", "body", "chunks"],
)
def test_endless_request_takes_no_memory(listeners: dict[str, Listener], name: str, start: bytes) -> None:
    listener, chunk = listeners[name], b"fff\r\n" + b"x" * 4095 + b"\r\n"
    before = _resident()
    sent = _poured(listener, start, chunk, most=64 << 20)
    assert _resident() - before < 24 << 20, f"after {sent} bytes"
    assert listener.answers()


def _poured(listener: Listener, start: bytes, chunk: bytes, *, most: int) -> int:
    """Send until it is refused, or nobody reads any more."""
    sent = 0
    with listener.connect() as sock, suppress(OSError):
        sock.settimeout(0.5)
        sock.sendall(start)
        while sent < most:
            sock.sendall(chunk * 16)
            sent += len(chunk) * 16
    return sent


def test_silent_connection_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never asks, one that never ends its question, one that asked once."""

    async def waited(starts: tuple[bytes, ...]) -> list[bytes]:
        monkeypatch.setattr(http, "LONGEST_SILENCE", 0.2)
        board = StatusBoard(SystemClock())
        app = http.health_app(lambda: board.snapshot, MetricsPage(lambda: board.snapshot, list))
        runner = await http.serve_tcp(app, "127.0.0.1", 0)
        try:
            streams = [await asyncio.open_connection(*runner.addresses[0]) for _ in starts]
            for (_, writer), start in zip(streams, starts, strict=True):
                writer.write(start)
            async with asyncio.timeout(PATIENCE_S):
                return [await reader.read() for reader, _ in streams]
        finally:
            await runner.cleanup()

    starts = (b"", b"GET /healthz HTTP/1.1\r\nX: ", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answers = asyncio.run(waited(starts))
    assert answers[:2] == [b"", b""]
    assert answers[2].startswith(b"HTTP/1.1 200 ")
