"""Asks other hosts for their row of the mesh, and gives them ours: one GET of HTTP/1.1 a connection.

Everything is bounded: size, time, and how many at once. Only peers are answered, with facts that each
of them could measure itself. An address does not make a peer: a host lends its own to containers by masquerading. So a
peer proves itself by the token that its lease carries, which no container can read in etcd.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from hmac import compare_digest
from typing import Any, Final, Never

from flanpy.clock import Clock
from flanpy.log import get_logger
from flanpy.model.address import IPAddress, bracketed
from flanpy.outage import Transition
from flanpy.probe.packet import address_of
from flanpy.probe.rows import read_document

log = get_logger()

PATH: Final = "/v1/reachability"
DEADLINE_S: Final = 2.0
MOST_BYTES: Final = 512 * 1024
_MOST_REQUEST: Final = 4096
_AT_ONCE: Final = 16
RETRY_S: Final = 2.0


class MeshServer:
    """Answers at this host's overlay address, wherever that is just now."""

    def __init__(
        self,
        *,
        clock: Clock,
        port: int,
        address: Callable[[], IPAddress | None],
        tokens: Callable[[IPAddress], frozenset[str]],
        document: Callable[[], dict[str, Any]],
    ) -> None:
        self._clock = clock
        self._port = port
        self._address = address
        self._tokens = tokens
        self._document = document
        self._server: asyncio.Server | None = None
        self._bound: IPAddress | None = None
        self._open = 0
        self._trouble = Transition()

    async def run(self) -> Never:
        """Serve until cancelled; looks now and then whether the address is there, and whether it is still the same."""
        try:
            while True:
                wanted = self._address()
                if wanted != self._bound:
                    await self._bind(wanted)
                await self._clock.sleep(RETRY_S)
        finally:
            self._close()

    async def _bind(self, address: IPAddress | None) -> None:
        self._close()
        if address is None:
            return
        try:
            self._server = await asyncio.start_server(
                self._serve, str(address), self._port, limit=_MOST_REQUEST
            )
        except OSError as error:
            # the device may not have come yet, or be made again just now
            awaited = error.errno == errno.EADDRNOTAVAIL
            why = os.strerror(error.errno) if error.errno else str(error)
            if not awaited and self._trouble.failed(self._clock.monotonic(), reason=why):
                log.warning("mesh_listen_failed", address=address, port=self._port, error=why)
            return
        self._trouble.succeeded(self._clock.monotonic())
        self._bound = address

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._server, self._bound = None, None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        self._open += 1
        try:
            tokens = self._tokens(address_of(peer[0])) if peer is not None else frozenset()
            if tokens and self._open <= _AT_ONCE:
                async with asyncio.timeout(DEADLINE_S):
                    writer.write(await self._answer(reader, tokens))
                    await writer.drain()
        except (OSError, ValueError, EOFError, asyncio.LimitOverrunError):
            pass  # TimeoutError among them: such a client gets no answer
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                async with asyncio.timeout(DEADLINE_S):
                    await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, tokens: frozenset[str]) -> bytes:
        request, *fields = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        if request.split()[:2] != [b"GET", PATH.encode()]:
            return _empty("404 Not Found")
        if "" not in tokens and not _is_one_of(_bearer(fields), tokens):
            return _empty("403 Forbidden")
        body = json.dumps(self._document(), separators=(",", ":")).encode()
        lines = ("HTTP/1.1 200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}")
        return "\r\n".join((*lines, "Connection: close", "", "")).encode() + body


def _empty(status: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def _bearer(fields: Iterable[bytes]) -> bytes:
    """Return the token of a request, b"" if it has none."""
    for line in fields:
        name, _, value = line.partition(b":")
        scheme, _, token = value.strip().partition(b" ")
        if (name.lower(), scheme.lower()) == (b"authorization", b"bearer"):
            return token.strip()
    return b""


def _is_one_of(token: bytes, tokens: frozenset[str]) -> bool:
    return sum(compare_digest(token, one.encode()) for one in tokens) > 0


async def ask(address: IPAddress, port: int, token: str = "") -> dict[str, Any] | None:
    """One host's document, None if it gave none in time that is fit to be read; `token` is that of our own lease."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            reader, writer = await asyncio.open_connection(str(address), port)
            try:
                proof = f"Authorization: Bearer {token}\r\n" if token else ""
                head = (
                    f"GET {PATH} HTTP/1.1\r\nHost: {bracketed(address)}\r\n{proof}Connection: close\r\n\r\n"
                )
                writer.write(head.encode())
                octets = await _read_all(reader)
            finally:
                writer.transport.abort()
    except OSError:  # TimeoutError is one
        return None
    answer, _, body = octets.partition(b"\r\n\r\n")
    if len(octets) > MOST_BYTES or answer.split(b" ")[1:2] != [b"200"]:
        return None
    return read_document(body)


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    """Read until the other side closes, or one byte more than the limit came."""
    octets = bytearray()
    while len(octets) <= MOST_BYTES:
        piece = await reader.read(65_536)
        if not piece:
            break
        octets += piece
    return bytes(octets)
