"""Starts the HTTP listeners once the first peers stand, and answers the control socket.

An address held by another program is a condition and is retried: it must not take the overlay's control plane down.
"""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flanpy import __version__
from flanpy.clock import Clock, set_within
from flanpy.config import ListenAddress, Settings, describe
from flanpy.daemon.looks.probing import Probing
from flanpy.daemon.serving.control_socket import ControlSocket
from flanpy.errors import HostError
from flanpy.model.wireguard import SeenPeer
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.status import report
from flanpy.status.board import StatusBoard
from flanpy.status.judge.summary import of_cluster

if TYPE_CHECKING:
    from aiohttp.web import AppRunner
    from prometheus_client.metrics_core import Metric

    from flanpy.page.stream import Feed
    from flanpy.status.http.server import ControlRequests

    Start = Callable[[], Awaitable[AppRunner]]

Action = Callable[[], Awaitable[dict[str, Any]]]

PATIENCE = 1.5
"""Seconds to wait for the first programmed pass before listening anyway: an operator may ask why there is none."""

SOCKET_NAME = "flanpyd.sock"

RETRY_INTERVAL = 2.0
"""Seconds between two attempts to listen where it failed, and between two looks whether the control socket is there."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Everything the listeners serve from."""

    node_id: str
    settings: Callable[[], Settings]
    board: StatusBoard
    loop: ReconcileLoop
    clock: Clock
    reload: Action
    drain: Action
    undrain: Action
    keys: Action
    rotate: Action
    more_counts: Callable[[], Iterable[Metric]]
    remaining: Callable[[Sequence[int]], Awaitable[Mapping[int, float]]]
    programmed: asyncio.Event
    probing: Probing | None = None
    sessions: Callable[[], Iterable[SeenPeer]] = tuple

    async def run(self) -> None:
        """Serve until cancelled."""
        started_at = self.clock.wall()
        await set_within(self.programmed, self.clock, PATIENCE)
        # In a thread, for the import takes a third of a second that the loop has better use for.
        await asyncio.to_thread(importlib.import_module, "flanpy.status.http.server")
        async with AsyncExitStack() as stack:
            control = self._control(started_at)
            path = self.settings().run_dir / SOCKET_NAME
            socket = _control_socket(control, path)
            wanted = {str(path): socket.start, **self._others(control)}
            missing = dict(wanted)
            started: set[AppRunner] = set()
            while True:
                if missing:
                    errors = await _start(missing, started, stack)
                    names = "" if errors else ", ".join(wanted)
                    self.board.note(listeners=names, listeners_error="; ".join(errors))
                await self.clock.sleep(RETRY_INTERVAL)
                if await socket.is_gone():
                    missing[str(path)] = socket.start

    def _others(self, control: ControlRequests) -> dict[str, Start]:
        """Return the start function of each listener but the control socket, by its address."""
        from flanpy.page import listening as page  # noqa: PLC0415, see run
        from flanpy.status.http import server  # noqa: PLC0415
        from flanpy.status.http.limits import limit_counts  # noqa: PLC0415
        from flanpy.status.metrics.page import MetricsPage  # noqa: PLC0415

        settings = self.settings()
        metrics = MetricsPage(lambda: self.board.snapshot, lambda: chain(self.more_counts(), limit_counts()))

        def health(address: ListenAddress) -> Start:
            return lambda: server.serve_tcp(
                server.health_app(lambda: self.board.snapshot, metrics), str(address.host), address.port
            )

        wanted = {str(address): health(address) for address in _addresses(settings)}
        if settings.page.listen is not None:
            wanted[str(settings.page.listen)] = page.start(settings.page, self._feed(control), self.clock)
        return wanted

    def _feed(self, control: ControlRequests) -> Feed:
        """Return the page's feed; it sends no request to etcd, however many clients look."""
        from flanpy.page.day import Day  # noqa: PLC0415, see run
        from flanpy.page.documents import named, page_document  # noqa: PLC0415
        from flanpy.page.stream import Feed  # noqa: PLC0415

        day = Day()

        async def sample() -> None:
            if self.probing is not None:
                day.note(named(await self.probing.mesh.document())["rows"], self.clock.wall())

        async def document() -> Any:
            measured = self.probing.mesh.recent() if self.probing is not None else None
            return page_document(
                status=await control.status(),
                own_expires_at=self.board.snapshot.inputs.own.expires_at,
                peers=await control.peers(),
                subnets=report.plain(report.subnets(self.board.snapshot, {})),
                events=await control.events(0),
                mesh=measured,
                cluster=of_cluster(measured).as_json(),
                day=day.strips(),
            )

        return Feed(lambda: self.board.snapshot, document, sample, day.pair)

    def _control(self, started_at: float) -> ControlRequests:
        from flanpy.status.http.server import ControlRequests  # noqa: PLC0415, see run

        head = report.DaemonHead(__version__, self.node_id, os.getpid(), started_at)

        async def status() -> Any:
            return report.plain(report.status(self.board.snapshot, now=self.clock.wall(), head=head))

        async def subnets() -> Any:
            last = self.board.snapshot.inputs.last
            leases = last.world.view.leases.values() if last else ()
            return report.plain(
                report.subnets(self.board.snapshot, await self.remaining([x.lease_id for x in leases]))
            )

        async def diff() -> Any:
            return report.plain(report.difference(await self.loop.preview()))

        async def config() -> Any:
            return [row._asdict() for row in describe(self.settings())]

        async def peers() -> Any:
            return report.plain(report.peers(self.board.snapshot, self.sessions(), now=self.clock.wall()))

        async def events(after: int) -> Any:
            ring = self.board.events
            return report.plain(report.events(ring.after(after), epoch=ring.epoch))

        async def mesh() -> Any:
            return await self._probing().mesh.document()

        async def verdict() -> Any:
            measured = await self.probing.mesh.document() if self.probing is not None else None
            return report.plain(report.verdicts(self.board.snapshot, measured, self.node_id))

        async def probe() -> Any:
            await self._probing().probe_now()
            return await peers()

        return ControlRequests(
            status=status,
            subnets=subnets,
            diff=diff,
            config=config,
            reload=self.reload,
            peers=peers,
            events=events,
            mesh=mesh,
            verdict=verdict,
            probe=probe,
            drain=self.drain,
            undrain=self.undrain,
            keys=self.keys,
            rotate=self.rotate,
        )

    def _probing(self) -> Probing:
        if self.probing is None:
            raise HostError("nothing is probed here")
        return self.probing


def _control_socket(control: ControlRequests, path: Path) -> ControlSocket:
    from flanpy.status.http.callers import Door  # noqa: PLC0415, see run
    from flanpy.status.http.server import control_app  # noqa: PLC0415

    return ControlSocket(control_app(control, Door(path)), path)


async def _start(missing: dict[str, Start], started: set[AppRunner], stack: AsyncExitStack) -> list[str]:
    """Start what is missing; what started is taken out, and cleaned up by `stack`. Returns why the others did not."""
    errors = []
    for name, start in list(missing.items()):
        try:
            runner = await start()
        except HostError as error:
            errors.append(str(error))
        else:
            if runner not in started:
                started.add(runner)
                stack.push_async_callback(runner.cleanup)
            del missing[name]
    return errors


def _addresses(settings: Settings) -> list[ListenAddress]:
    """Return the addresses that serve health and metrics: flanneld's health port, our metrics address, or both."""
    listen = settings.listen
    health = ListenAddress(listen.healthz_ip, listen.healthz_port) if listen.healthz_port else None
    return [address for address in (health, listen.metrics_listen) if address is not None]
