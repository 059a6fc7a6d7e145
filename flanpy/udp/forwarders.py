"""Starts the user-space plane's processes of the udp backend, the first one before it is needed.

Python takes some tenths of a second to load what it forwards with; a host that waits for flanneld to leave the tunnel
has no such time then. Must not: decide what is forwarded, or watch a process that does.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from flanpy.udp.ports import Forwarder

if TYPE_CHECKING:
    from flanpy.udp.forwarder.process import WaitingProcess


class Forwarders:
    """Use it in a running event loop. At most one process waits."""

    def __init__(self) -> None:
        self._prepared: asyncio.Task[WaitingProcess] | None = None

    def prepare(self) -> None:
        """Have a process wait, if none does."""
        if self._prepared is None:
            self._prepared = asyncio.create_task(_started(), name="udp_forwarder_ready")

    async def spawn(self, queues: Sequence[int], sock: socket.socket) -> Forwarder:
        """Let the process that waits forward, or a new one. Raises KernelError."""
        prepared, self._prepared = self._prepared, None
        waiting = await prepared if prepared is not None else await _started()
        if not waiting.waits:
            waiting.kill()
            waiting = await _started()
        return waiting.begin(queues[0], sock)

    def dismiss(self) -> None:
        """End the process that waits, if one does."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and not prepared.cancel() and prepared.exception() is None:
            prepared.result().kill()


async def _started() -> WaitingProcess:
    from flanpy.udp.forwarder.process import WaitingProcess  # noqa: PLC0415, for udp only

    return await WaitingProcess.start()
