"""The HTTP listeners: health and metrics on TCP, control on a unix socket.

Serve documents that others make; hold no state. aiohttp takes longer to import than the rest of the daemon takes to
program its peers, so this module is imported only after the first of them stand.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flanpy.status.http.aiohttp_server import load_server_half

load_server_half()

# ruff: noqa: E402
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from flanpy.errors import FlanpyError, HostError
from flanpy.printable import escaped, tamed
from flanpy.status.board import StatusSnapshot
from flanpy.status.http.callers import Caller, Door
from flanpy.status.http.limits import BACKLOG, CONTROL_BACKLOG, bound
from flanpy.status.http.tls_server import TlsServer
from flanpy.status.metrics.page import MetricsPage, ScrapeForm

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp.typedefs import Handler, Middleware

Answer = Callable[[], Awaitable[Any]]

_LONGEST_NUMBER = 18
_EVENT_NUMBER = re.compile(f"[0-9]{{1,{_LONGEST_NUMBER}}}")
"""Python makes no number of more than 4300 digits."""

LONGEST_SILENCE = 75.0
"""Seconds that a connection may take for its next, whole request."""


def _is_our_fault(record: logging.LogRecord) -> bool:
    """aiohttp logs a traceback for each malformed request: a port scan must not fill the journal."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_log = logging.getLogger(__name__)
_log.addFilter(_is_our_fault)


@dataclass(frozen=True, slots=True)
class ControlRequests:
    """The requests of the control socket: each returns a JSON document. `events` takes the number to continue after."""

    status: Answer
    """Phase, readiness, conditions, lease, underlay, backend, Docker, tuning, passes."""
    subnets: Answer
    """Every lease known, with what became of it here."""
    diff: Answer
    """What the next pass would do, as lines of `ip` and `bridge`."""
    config: Answer
    """The settings in force, and where each came from."""
    reload: Answer
    """Read the settings again; says what changed, and what needs a restart."""
    peers: Answer
    """Every peer, and how probes reach it."""
    mesh: Answer
    """What all agents measured: nodes, and a row for each pair."""
    verdict: Answer
    """The verdicts on this host and on the cluster; asks the other hosts."""
    probe: Answer
    """Probe every peer now, then answer as `peers`."""
    drain: Answer
    """Give the lease back and take no other one until `undrain`."""
    undrain: Answer
    """Take part again."""
    keys: Answer
    """This host's WireGuard key: its public half, since when it stands, and its file."""
    rotate: Answer
    """Put a new WireGuard key in force on this host; answers once the lease names it."""
    events: Callable[[int], Awaitable[Any]]
    """What happened after the event number `after`, oldest first."""


def health_app(snapshot: Callable[[], StatusSnapshot], metrics: MetricsPage) -> web.Application:
    """`/healthz` 200 while alive, `/readyz` 200 only while usable (`?verbose` lists conditions), `/metrics`."""

    async def alive(_request: web.Request) -> web.Response:
        """200 while the daemon lives."""
        return web.Response(text="ok\n")

    async def ready(request: web.Request) -> web.Response:
        """200 while containers can use the overlay, else 503; lists what is bad, with `?verbose` all."""
        return _readiness(snapshot(), verbose="verbose" in request.query)

    async def measured(request: web.Request) -> web.Response:
        """Metrics, as text for Prometheus or OpenMetrics."""
        return await _measured(metrics, request)

    app = web.Application()
    app.router.add_get("/healthz", alive)
    app.router.add_get("/readyz", ready)
    app.router.add_get("/metrics", measured)
    return app


def control_app(control: ControlRequests, door: Door) -> web.Application:
    """The JSON API of the local daemon; errors are `{"error": "..."}`."""
    app = web.Application(middlewares=[_checked_by(door)])
    app.router.add_get("/v1/status", _json(control.status))
    app.router.add_get("/v1/subnets", _json(control.subnets))
    app.router.add_get("/v1/diff", _json(control.diff))
    app.router.add_get("/v1/config", _json(control.config))
    app.router.add_get("/v1/peers", _json(control.peers))
    app.router.add_get("/v1/events", _events(control.events))
    app.router.add_get("/v1/mesh", _json(control.mesh))
    app.router.add_get("/v1/verdict", _json(control.verdict))
    app.router.add_post(_PROBE, _json(control.probe))
    app.router.add_post("/v1/reload", _json(control.reload))
    app.router.add_post("/v1/drain", _json(control.drain))
    app.router.add_post("/v1/undrain", _json(control.undrain))
    app.router.add_get("/v1/keys", _json(control.keys))
    app.router.add_post("/v1/rotate", _json(control.rotate))
    return app


_PROBE = "/v1/probe"


def _checked_by(door: Door) -> Middleware:
    """Admit callers that the kernel identifies as allowed; none without the kernel's answer."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if refusal := _refusal(request, door):
            return web.json_response({"error": refusal}, status=403, dumps=_dumps)
        return await handler(request)

    return check


def _refusal(request: web.Request, door: Door) -> str:
    peer = None if request.transport is None else request.transport.get_extra_info("socket")
    if peer is None:  # gone before the answer
        return "who asks is not known"
    try:
        # Whatever is no question is an action, but for probes: they change nothing here.
        return door.refusal(
            Caller.of(peer), acts=request.method not in {"GET", "HEAD"} and request.path != _PROBE
        )
    except OSError as error:
        return f"who asks is not known: {error.strerror}"


async def serve_tcp(
    app: web.Application,
    host: str,
    port: int,
    *,
    tls: SSLContext | None = None,
    ends_with_client: bool = False,
) -> web.AppRunner:
    """Listen; raises HostError naming the address. `ends_with_client` cancels what answers a client that left."""
    runner = await _runner(app, ends_with_client=ends_with_client)
    try:
        if tls is None:
            await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        else:
            await _TlsSite(runner, host, port, tls).start()
    except OSError as error:
        await runner.cleanup()
        raise HostError(f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return runner


class _TlsSite(web.BaseSite):
    """A site of aiohttp that bounds TLS handshakes."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, tls: SSLContext) -> None:
        super().__init__(runner, ssl_context=tls)
        self._address = host, port
        self._tls = tls

    @property
    def name(self) -> str:
        host, port = self._address
        return f"https://{host}:{port}"

    async def start(self) -> None:
        await super().start()
        assert self._runner.server is not None
        server = TlsServer(self._runner.server, self._tls)
        server.start(*self._address)
        self._server = server  # type: ignore[assignment]  # closed, and asked for its sockets


async def serve_unix(app: web.Application, path: Path) -> web.AppRunner:
    """Listen on a unix socket of mode 0660, replacing one that a dead daemon left; raises HostError."""
    runner = await _runner(app)
    try:
        await listen_unix(runner, path)
    except HostError:
        await runner.cleanup()
        raise
    return runner


async def listen_unix(runner: web.AppRunner, path: Path) -> None:
    """Have a runner listen at this path and at no other from now on; connections stay. Raises HostError."""
    for site in list(runner.sites):
        await site.stop()
    try:
        await asyncio.to_thread(path.unlink, missing_ok=True)
        await web.UnixSite(runner, str(path), backlog=CONTROL_BACKLOG).start()
        await asyncio.to_thread(path.chmod, 0o660)
    except OSError as error:
        raise HostError(f"cannot listen on {path}: {error.strerror}; correct --run-dir") from error


async def _runner(app: web.Application, *, ends_with_client: bool = False) -> web.AppRunner:
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=_log,
        handle_signals=False,
        shutdown_timeout=1.0,
        handler_cancellation=ends_with_client,
        keepalive_timeout=LONGEST_SILENCE,
        lingering_time=1.0,
    )
    await runner.setup()
    assert runner.server is not None
    bound(runner.server)
    return runner


async def _measured(page: MetricsPage, request: web.Request) -> web.Response:
    accept, encodings = (",".join(request.headers.getall(name, ())) for name in ("Accept", "Accept-Encoding"))
    answer = await page.answer(ScrapeForm(accept, encodings))
    encoding = {"Content-Encoding": "gzip"} if answer.gzipped else {}
    return web.Response(body=answer.body, headers={"Content-Type": answer.content_type, **encoding})


def _readiness(snapshot: StatusSnapshot, *, verbose: bool) -> web.Response:
    """Unhealthy conditions first, causes before what they explain; `verbose` adds evidence, cures and the others."""
    lines = [f"phase {snapshot.phase.value}"]
    for condition in snapshot.conditions:
        if verbose or not condition.healthy:
            mark = "+" if condition.healthy else "-"
            lines.append(f"[{mark}]{condition.type.value} {condition.reason}: {condition.message}")
        if verbose:
            lines += [f"    {line}" for line in condition.evidence]
            lines += [f"    cure: {condition.cure}"] if condition.cure else []
    return web.Response(text=tamed("\n".join(lines)) + "\n", status=200 if snapshot.ready else 503)


def _json(answer: Answer) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def respond(_request: web.Request) -> web.Response:
        try:
            return web.json_response(await answer(), dumps=_dumps)
        except FlanpyError as error:
            return web.json_response({"error": str(error)}, status=500, dumps=_dumps)

    return respond


def _events(answer: Callable[[int], Awaitable[Any]]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def respond(request: web.Request) -> web.Response:
        asked = request.query.get("after", "0")
        if not _EVENT_NUMBER.fullmatch(asked):
            error = f"after={asked[:_LONGEST_NUMBER]!r} is no event number"
            return web.json_response({"error": error}, status=400, dumps=_dumps)
        return web.json_response(await answer(int(asked)), dumps=_dumps)

    return respond


def _dumps(document: Any) -> str:
    return escaped(json.dumps(document, separators=(",", ":"), ensure_ascii=False)) + "\n"
