"""The page's HTTP: static files, the stream, and the door. Read-only; nothing that comes in changes anything.

Nothing from outside this host is loaded by the page, no script or style stands inside its HTML, and the policy headers
make browsers insist on both. What etcd holds is text to the page, never HTML.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl

from flanpy.clock import Clock
from flanpy.page.gate import COOKIE, PageGate
from flanpy.page.stream import Feed, Stream
from flanpy.status.http.aiohttp_server import load_server_half

load_server_half()

# ruff: noqa: E402
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from flanpy.status.http.limits import Limit, exceeded

STATIC: Final = Path(__file__).parent / "static"

FILES: Final = {
    "index.html": "text/html",
    "entry.html": "text/html",
    "page.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(
        (
            "main.js",
            "dom.js",
            "words.js",
            "model.js",
            "networks.js",
            "map.js",
            "matrix.js",
            "verdict.js",
            "drawer.js",
            "day.js",
            "tables.js",
            "timeline.js",
        ),
        "text/javascript",
    ),
}

OPEN_TO_ALL: Final = frozenset({"/entry", "/page.css", "/icon.svg"})
"""What a browser needs to ask for the token; none of it tells anything of the cluster."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}

_LARGEST_FORM: Final = 4096

SAMPLE_INTERVAL: Final = 30.0
"""Seconds from one note of all directions to the next."""


def page_app(gate: PageGate, feed: Feed, clock: Clock, *, encrypted: bool = False) -> web.Application:
    """`/` the page, `/events` its stream; `encrypted` keeps the cookie off plain connections."""
    stream = Stream(feed, clock)
    door = _Door(gate, encrypted)
    app = web.Application(middlewares=[door.check], client_max_size=_LARGEST_FORM)
    app.on_response_prepare.append(_add_headers)

    async def close(_app: web.Application) -> None:
        await stream.close()

    async def follow(request: web.Request) -> web.StreamResponse:
        """The stream that the page follows: one JSON document per change, as server-sent events."""
        return await _follow(stream, request)

    async def pair(request: web.Request) -> web.StreamResponse:
        """Both directions between two hosts, over the last day."""
        return web.json_response(feed.pair(request.query.get("one", ""), request.query.get("other", "")))

    async def sampled(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(_sample(feed, clock), name="page-day")
        yield
        task.cancel()
        await asyncio.wait([task])

    app.on_shutdown.append(close)
    app.cleanup_ctx.append(sampled)
    app.router.add_get("/events", follow)
    app.router.add_get("/pair", pair)
    app.router.add_post("/entry", door.enter)
    app.router.add_get("/", door.page)
    for name in FILES:
        if name not in {"index.html", "entry.html"}:
            app.router.add_get(f"/{name}", _static(name))
    return app


@dataclass(frozen=True, slots=True)
class _Door:
    gate: PageGate
    encrypted: bool

    @property
    def check(self) -> Middleware:
        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            if not self.gate.knows_host(request.headers.get("Host", "")):
                raise web.HTTPMisdirectedRequest(text="this page answers to localhost only\n")
            brings_token = request.path == "/" and "token" in request.query
            if request.path in OPEN_TO_ALL or brings_token or self._is_admitted(request):
                return await handler(request)
            return self._stop(request)

        return check

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The status page. A token in the address becomes a cookie, and goes out of the address bar."""
        if "token" not in request.query:
            return _file("index.html")
        return self._let_in(request.query["token"])

    async def enter(self, request: web.Request) -> web.StreamResponse:
        """Takes the token that a person typed, for a cookie."""
        # Whatever its type: aiohttp's reader of forms decodes by the caller's charset, and puts uploads on the disk.
        form = dict(parse_qsl((await request.read()).decode(errors="replace")))
        return self._let_in(form.get("token", ""))

    def _let_in(self, token: str) -> web.StreamResponse:
        if self.gate.token and not self.gate.is_token(token):
            return _file("entry.html", status=401)
        # No redirect: after a link from another site the browser would follow it without our strict cookie.
        answer = web.Response(text=_COME_IN, content_type="text/html")
        if self.gate.token:
            answer.set_cookie(
                COOKIE, self.gate.cookie, httponly=True, samesite="Strict", secure=self.encrypted, path="/"
            )
        return answer

    def _is_admitted(self, request: web.Request) -> bool:
        return self.gate.admits(request.headers.get("Authorization", ""), request.cookies)

    def _stop(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/":
            return _file("entry.html", status=401)
        raise web.HTTPUnauthorized(
            text="send the token of page-token-file: Authorization: Bearer ...\n",
            headers={"WWW-Authenticate": 'Bearer realm="flanpy"'},
        )


_COME_IN: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">'
    '<title>flanpy</title><a href="/">to the page</a></html>'
)


async def _sample(feed: Feed, clock: Clock) -> None:
    """Note how the cluster is, as long as the page is served: the day is drawn for later visitors."""
    while True:
        await feed.sample()
        await clock.sleep(SAMPLE_INTERVAL)


async def _follow(stream: Stream, request: web.Request) -> web.StreamResponse:
    if stream.is_full:
        exceeded[Limit.STREAMS] += 1
        raise web.HTTPServiceUnavailable(text="too many have this page open\n", headers={"Retry-After": "10"})
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await answer.prepare(request)
    try:
        await answer.write(b"retry: 2000\n\n")
        await stream.serve(answer)
    except (TimeoutError, ConnectionError):
        if request.transport is not None:
            request.transport.abort()  # what it has not taken by now is not worth keeping
    return answer


def _static(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def respond(_request: web.Request) -> web.StreamResponse:
        return _file(name)

    return respond


def _file(name: str, *, status: int = 200) -> web.FileResponse:
    """By its name from the table, never by what was asked for. The type is ours: /etc/mime.types may say anything."""
    return web.FileResponse(
        STATIC / name, status=status, headers={"Content-Type": f"{FILES[name]}; charset=utf-8"}
    )


async def _add_headers(_request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(HEADERS)
