"""Starts the HTTP listeners once the first peers stand, and answers the control socket."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flanpy import __version__
from flanpy.clock import Clock
from flanpy.config import Settings, describe
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.wake import set_within
from flanpy.status import report
from flanpy.status.board import StatusBoard

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from flanpy.status.http import Control

PATIENCE = 1.5
"""Seconds to wait for the first programmed pass before listening anyway: an operator may ask why there is none."""

SOCKET_NAME = "flanpyd.sock"


@dataclass(frozen=True, slots=True)
class Listeners:
    """Everything the listeners serve from."""

    node_id: str
    settings: Callable[[], Settings]
    board: StatusBoard
    loop: ReconcileLoop
    clock: Clock
    reload: Callable[[], Awaitable[dict[str, Any]]]
    store_counts: Callable[[], Iterable[Metric]]
    remaining: Callable[[Sequence[int]], Awaitable[Mapping[int, float]]]
    programmed: asyncio.Event

    async def run(self) -> None:
        """Serve until cancelled."""
        started_at = self.clock.wall()
        await set_within(self.programmed, self.clock, PATIENCE)
        # In a thread, for the import takes a third of a second that the loop has better use for.
        await asyncio.to_thread(importlib.import_module, "flanpy.status.http")
        async with AsyncExitStack() as stack:
            await self._start(stack, started_at)
            await asyncio.Event().wait()

    async def _start(self, stack: AsyncExitStack, started_at: float) -> None:
        from flanpy.status import http  # noqa: PLC0415, see run
        from flanpy.status.metrics import registry  # noqa: PLC0415

        settings = self.settings()
        control = http.control_app(self._control(started_at))
        stack.push_async_callback((await http.serve_unix(control, settings.run_dir / SOCKET_NAME)).cleanup)
        metrics = registry(lambda: self.board.snapshot, self.store_counts)
        for host, port in _addresses(settings):
            health = http.health_app(lambda: self.board.snapshot, metrics)
            stack.push_async_callback((await http.serve_tcp(health, host, port)).cleanup)

    def _control(self, started_at: float) -> Control:
        from flanpy.status.http import Control  # noqa: PLC0415, see run

        head = {"version": __version__, "node_id": self.node_id, "pid": os.getpid(), "started_at": started_at}

        async def status() -> Any:
            return report.status(self.board.snapshot, now=self.clock.wall(), head=head)

        async def subnets() -> Any:
            last = self.board.snapshot.inputs.last
            leases = last.world.view.leases.values() if last else ()
            return report.subnets(self.board.snapshot, await self.remaining([x.lease_id for x in leases]))

        async def diff() -> Any:
            return report.difference(await self.loop.preview())

        async def config() -> Any:
            return [row._asdict() for row in describe(self.settings())]

        return Control(status=status, subnets=subnets, diff=diff, config=config, reload=self.reload)


def _addresses(settings: Settings) -> list[tuple[str, int]]:
    """Where health and metrics are served: flanneld's health port, our metrics address, or both."""
    listen = settings.listen
    addresses = [(str(listen.healthz_ip), listen.healthz_port)] if listen.healthz_port else []
    if listen.metrics_listen is not None:
        addresses.append((str(listen.metrics_listen.host), listen.metrics_listen.port))
    return addresses
