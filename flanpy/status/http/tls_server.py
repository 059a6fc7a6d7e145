"""Accepts TLS connections and bounds their handshakes, which cost 0.3 MB each before any token or request is seen.

Hands a connection over once its handshake is done. asyncio's own server accepts every connection, reports
none before the handshake is over, and keeps the buffers of a failed one until Python's collector finds them.
"""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections import Counter
from collections.abc import Callable
from ssl import SSLContext
from typing import Final

from flanpy.status.http.limits import HANDSHAKE_DEADLINE, MOST_HANDSHAKES, TLS_BACKLOG, Limit, exceeded

_RETRY: Final = 1.0
"""Seconds without accepting after the host had no descriptor or memory left for a connection."""


class TlsServer:
    """Listens from `start` to `close`; `welcome` makes the protocol of each connection."""

    def __init__(self, welcome: Callable[[], asyncio.BaseProtocol], tls: SSLContext) -> None:
        self._welcome = welcome
        self._tls = tls
        self._shaking: dict[asyncio.Task[None], str] = {}
        self._accepting: asyncio.Task[None] | None = None
        self.sockets: tuple[socket.socket, ...] = ()

    def start(self, host: str, port: int) -> None:
        """Listen at an IP address. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=TLS_BACKLOG)
        listener.setblocking(False)
        self.sockets = (listener,)
        self._accepting = asyncio.create_task(self._accept(listener), name="tls-accept")

    def close(self) -> None:
        """End the listening and the handshakes; connections stay."""
        for task in (self._accepting, *self._shaking):
            if task is not None:
                task.cancel()
        self.sockets = ()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                try:
                    accepted, address = await loop.sock_accept(listener)
                except ConnectionAbortedError:
                    continue
                except OSError:
                    await asyncio.sleep(_RETRY)
                    continue
                if len(self._shaking) >= MOST_HANDSHAKES:
                    await self._end_one()
                task = asyncio.create_task(self._shake(accepted), name="tls-handshake")
                self._shaking[task] = address[0]
                task.add_done_callback(self._shaking.pop)
                await asyncio.sleep(0)  # accepting waits for nothing in a crowd, and the loop has other work

    async def _end_one(self) -> None:
        """End the oldest handshake of the address that has most, so that a crowd from one keeps no other out."""
        most, _ = Counter(self._shaking.values()).most_common(1)[0]
        oldest = next(task for task, address in self._shaking.items() if address == most)
        oldest.cancel()
        exceeded[Limit.HANDSHAKES] += 1
        await asyncio.wait([oldest])

    async def _shake(self, accepted: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._welcome,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_DEADLINE,
                ssl_shutdown_timeout=HANDSHAKE_DEADLINE,
            )
        except BaseException as error:
            # The error and the frames it came through hold each other, and the buffers of the handshake.
            traceback.clear_frames(error.__traceback__)
            if not isinstance(error, OSError):  # a client that does not speak TLS, left, or was too slow
                raise
