"""The listeners of HTTP as functions of octets: a request is answered or refused, and never an error of ours (500).

Each octet sequence comes by a connection of its own to the health port, the control socket, or the page with and
without a token. The event loop is turned until the answer is there, or the rest of the request is waited for.
"""

from __future__ import annotations

import asyncio
import atexit
import re
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

from aiohttp import web

from flanpy.clock import SystemClock
from flanpy.page.app import page_app
from flanpy.page.gate import PageGate
from flanpy.page.stream import Feed
from flanpy.status.board import StatusBoard
from flanpy.status.http.callers import Door
from flanpy.status.http.server import ControlRequests, control_app, health_app
from flanpy.status.metrics.page import MetricsPage
from tests.hostile.texts import controls

HEALTH, CONTROL, PAGE, GUARDED = range(4)
PATIENCE_S = 60.0
_TURNS = 60
"""Turns of the loop: an answer takes about ten."""

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def http_request(octets: bytes) -> None:
    """Send the octets as they are; the first chooses the listener."""
    _asked(octets[0] % 4 if octets else HEALTH, octets[1:], whole=False)


def http_query(octets: bytes) -> None:
    """Send the octets as the value of a query, percent-coded: the first chooses where."""
    at, resource = _QUERIES[octets[0] % len(_QUERIES) if octets else 0]
    value = quote_from_bytes(octets[1:])[:6000]
    answers = _asked(at, f"GET {resource}{value} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    assert answers, "a whole request is answered"


def http_form(octets: bytes) -> None:
    """Send a form to the page's door: the content type to the first line's end, then the body."""
    kind, _, body = octets.partition(b"\n")
    kind = bytes(one for one in kind if one >= 0x20 and one != 0x7F)
    _asked(
        GUARDED,
        b"POST /entry HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s"
        % (kind, len(body), body),
    )


_QUERIES = (
    (CONTROL, "/v1/events?after="),
    (CONTROL, "/v1/events?"),
    (HEALTH, "/readyz?"),
    (GUARDED, "/?token="),
    (PAGE, "/?"),
)


def _asked(at: int, request: bytes, *, whole: bool = True) -> list[int]:
    """Return the status of each answer; one comes if the request is whole."""
    loop, servers = _served()
    said = loop.run_until_complete(_exchange(servers[at], request, whole=whole))
    found = [int(status) for status in _STATUS.findall(said)]
    assert 500 not in found, said
    if found == [400] and at == CONTROL:
        text = said.partition(b"\r\n\r\n")[2].decode().rstrip("\n")
        assert controls(text.replace("\n", "")) == [], ascii(text)
    return found


async def _exchange(server: web.Server, request: bytes, *, whole: bool) -> bytes:
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, _ = await loop.connect_accepted_socket(server, theirs)
    with ours:
        ours.sendall(request[:60_000])
        if whole:
            said = await asyncio.wait_for(loop.sock_recv(ours, 1 << 16), PATIENCE_S)
        else:
            said = await _turned(ours)
    for _ in range(_TURNS):  # it sees that we left, unless it has stopped reading
        await asyncio.sleep(0)
        if transport.is_closing():
            return said
    transport.abort()
    return said


async def _turned(ours: socket.socket) -> bytes:
    said = b""
    for _ in range(_TURNS):
        await asyncio.sleep(0)
        with suppress(BlockingIOError):
            said += ours.recv(1 << 16)
            if said:
                break
    return said


@cache
def _served() -> tuple[asyncio.AbstractEventLoop, list[web.Server]]:
    loop = asyncio.new_event_loop()
    runners = loop.run_until_complete(_runners())
    atexit.register(_end, loop, runners)
    servers = [runner.server for runner in runners]
    return loop, [one for one in servers if one is not None]


def _end(loop: asyncio.AbstractEventLoop, runners: list[web.AppRunner]) -> None:
    for runner in runners:
        loop.run_until_complete(runner.cleanup())
    loop.close()


async def _runners() -> list[web.AppRunner]:
    board = StatusBoard(SystemClock())

    async def document() -> Any:
        return {}

    async def told(_after: int) -> Any:
        return []

    control = ControlRequests(
        status=document, subnets=document, diff=document, config=document, reload=document, peers=document,
        mesh=document, verdict=document, probe=document, drain=document, undrain=document,
        keys=document, rotate=document, events=told,
    )  # fmt: skip
    feed = Feed(lambda: board.snapshot, document)
    apps = [
        health_app(lambda: board.snapshot, MetricsPage(lambda: board.snapshot, list)),
        control_app(control, Door(Path("/run/flanpy/flanpyd.sock"))),
        page_app(PageGate(loopback=True), feed, SystemClock()),
        page_app(PageGate(loopback=False, token="t" * 16), feed, SystemClock()),
    ]
    runners = [web.AppRunner(app, access_log=None, handle_signals=False) for app in apps]
    for runner in runners:
        await runner.setup()
    return runners


HTTP_TARGETS = {
    "http_request": (
        http_request,
        (
            b"\0GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\0GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=0.5\r\nAccept-Encoding: gzip\r\n\r\n",
            b"\1POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
            b"\1GET /v1/events?after=7 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\2GET / HTTP/1.1\r\nHost: localhost:8474\r\n\r\n",
            b"\3GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tttttttttttttttt\r\nCookie: a=b\r\n\r\n",
        ),
    ),
    "http_query": (
        http_query,
        (b"\x007", b"\1after=7", b"\2verbose", b"\3tttttttttttttttt", b"\4token=\xff"),
    ),
    "http_form": (
        http_form,
        (
            b"application/x-www-form-urlencoded\ntoken=tttttttttttttttt",
            (
                b"multipart/form-data; boundary=b\n"
                b'--b\r\nContent-Disposition: form-data; name="token"\r\n\r\nt\r\n--b--\r\n'
            ),
        ),
    ),
}
"""Each with what it is begun with."""

HTTP_FOUND: dict[str, tuple[bytes, ...]] = {
    "http_query": (b"\0" + b"9" * 5000,),
    "http_form": (
        b"application/x-www-form-urlencoded; charset=utf-7\ntoken=+2AA-",
        b"application/x-www-form-urlencoded; charset=nonsense\ntoken=t",
        b"application/x-www-form-urlencoded; charset=ascii\ntoken=\xff",
        b"multipart/form-data\n--b\r\n",
        b"multipart/form-data; boundary=b\nnonsense",
    ),
}
"""Each was answered with 500 once."""
