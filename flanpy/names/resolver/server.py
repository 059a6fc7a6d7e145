"""The resolver's sockets: UDP and TCP on one address, answered only to packets that a link of this host's containers
brings.

Every datagram and connection tells by which link it came in (IP_PKTINFO): the address is no secret, and a neighbour on
the underlay could route packets to it and name any source. In: questions. Out: answers, counts. Nothing here awaits a
server of the host before the next question is read.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address
from typing import Any, Final, Protocol

from flanpy.clock import Clock
from flanpy.errors import HostError
from flanpy.names.resolver import answers, limits
from flanpy.names.resolver.answers import Outcome, Question, Reply
from flanpy.names.resolver.counts import ResolverCounts
from flanpy.names.resolver.upstreams import Upstream, ask
from flanpy.names.table import Asker, NameTable

_IP_PKTINFO, _IP_FREEBIND, _IP_PKTOPTIONS, _IP_TRANSPARENT = 8, 15, 9, 19
"""Of linux/in.h; Python's socket module has not all of them."""
_PKTINFO: Final = struct.Struct("@i4s4s")
_CMSG: Final = struct.Struct("@Nii")
_LENGTH: Final = struct.Struct("!H")
_LARGEST: Final = 4096
"""Octets of a datagram that are read; a question is far smaller."""
_A_TURN: Final = 64
"""Datagrams read before the event loop turns to others."""


class Doorkeeper(Protocol):
    """Judges who may ask: `None` for packets that came by a link of nobody's containers."""

    def __call__(self, source: IPv4Address, link: int) -> Asker | None:
        """Judge by the source and the number of the link that the packet came in by."""
        ...


class Resolver:
    """One server. `open` and then `close`; `upstreams` is read for each question that goes on."""

    def __init__(
        self,
        table: NameTable,
        asker: Doorkeeper,
        upstreams: Callable[[], tuple[Upstream, ...]],
        *,
        clock: Clock,
    ) -> None:
        self._table = table
        self._asker = asker
        self._upstreams = upstreams
        self._clock = clock
        self._rates = limits.Rates()
        self._waiting = limits.Turnstile(limits.MOST_WAITING, limits.MOST_WAITING_OF_ONE)
        self._connections = limits.Turnstile(limits.MOST_CONNECTIONS, limits.MOST_CONNECTIONS_OF_ONE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: socket.socket | None = None
        self._tcp: asyncio.Server | None = None
        self.counts = ResolverCounts()

    async def open(self, address: IPv4Address, port: int) -> int:
        """Listen; return the port. Raises HostError."""
        try:
            self._udp = _socket(socket.SOCK_DGRAM, address, port)
            port = self._udp.getsockname()[1]
            listener = _socket(socket.SOCK_STREAM, address, port)
        except OSError as error:
            self._drop_udp()
            raise HostError(
                f"cannot listen on {address}:{port} for names: {error.strerror or error}; see who has the port with"
                " 'ss -lunp', or set another dns-listen"
            ) from error
        asyncio.get_running_loop().add_reader(self._udp.fileno(), self._readable, self._udp)
        self._tcp = await asyncio.start_server(self._connected, sock=listener, limit=_LARGEST, backlog=128)
        return port

    async def close(self) -> None:
        """Close everything; questions under way get no answer."""
        self._drop_udp()
        if self._tcp is not None:
            self._tcp.close()
            self._tcp = None
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _drop_udp(self) -> None:
        if self._udp is not None:
            with suppress(ValueError, OSError):
                asyncio.get_running_loop().remove_reader(self._udp.fileno())
            self._udp.close()
            self._udp = None

    # UDP

    def _readable(self, opened: socket.socket) -> None:
        for _ in range(_A_TURN):
            try:
                octets, more, _flags, sender = opened.recvmsg(_LARGEST, socket.CMSG_SPACE(_PKTINFO.size))
            except OSError:  # nothing more, or the news of an answer that somebody did not take
                return
            link = next((_link(data) for _, kind, data in more if kind == _IP_PKTINFO), 0)
            self._datagram(opened, octets, sender, link)

    def _datagram(self, opened: socket.socket, octets: bytes, sender: Any, link: int) -> None:
        source, began = IPv4Address(sender[0]), self._clock.monotonic()
        reply = self._judge(octets, source, link, by_tcp=False)
        if isinstance(reply, Reply):
            self._count(reply.outcome, began)
            _send(opened, reply.octets, sender)
        elif not self._waiting.enter(source):
            late = answers.failed(octets)
            self._count(late.outcome, began)
            _send(opened, late.octets, sender)
        else:
            self._start(self._forward_datagram(opened, reply, sender, began))

    async def _forward_datagram(
        self, opened: socket.socket, question: Question, sender: Any, began: float
    ) -> None:
        try:
            reply = await self._forwarded(question, by_tcp=False)
        finally:
            self._waiting.leave(IPv4Address(sender[0]))
        self._count(reply.outcome, began)
        _send(opened, reply.octets, sender)

    # TCP

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        source = IPv4Address(writer.get_extra_info("peername")[0])
        entered = self._connections.enter(source)
        try:
            if entered:
                await self._talk(reader, writer, source, _link_of(writer.get_extra_info("socket")))
        except (OSError, EOFError, TimeoutError):
            pass
        finally:
            if entered:
                self._connections.leave(source)
            self._tasks.discard(task)
            writer.close()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, source: IPv4Address, link: int
    ) -> None:
        while True:
            async with asyncio.timeout(limits.IDLE_S):
                (length,) = _LENGTH.unpack(await reader.readexactly(2))
                octets = await reader.readexactly(length)
            began = self._clock.monotonic()
            reply = self._judge(octets, source, link, by_tcp=True)
            if isinstance(reply, Question):
                reply = await self._waited(reply, source)
            self._count(reply.outcome, began)
            if not reply.octets:
                return
            writer.write(_LENGTH.pack(len(reply.octets)) + reply.octets)
            async with asyncio.timeout(limits.IDLE_S):
                await writer.drain()

    async def _waited(self, question: Question, source: IPv4Address) -> Reply:
        if not self._waiting.enter(source):
            return answers.failed(question.octets)
        try:
            return await self._forwarded(question, by_tcp=True)
        finally:
            self._waiting.leave(source)

    # both

    def _judge(self, octets: bytes, source: IPv4Address, link: int, *, by_tcp: bool) -> Reply | Question:
        asker = self._asker(source, link)
        if asker is None:
            return Reply(
                b"", Outcome.REFUSED
            )  # silent: an answer would go to an address that anybody can forge
        if not self._rates.take(source, self._clock.monotonic()):
            return answers.refused(octets)
        return answers.answer(octets, self._table, asker, by_tcp=by_tcp)

    async def _forwarded(self, question: Question, *, by_tcp: bool) -> Reply:
        servers = self._upstreams()
        if not servers:
            return answers.refused(question.octets)
        found = await ask(question.octets, servers, by_tcp=by_tcp)
        return answers.failed(question.octets) if found is None else Reply(found, Outcome.FORWARDED)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work, name="names_forward")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self, outcome: Outcome, began: float) -> None:
        self.counts = self.counts.after(outcome, self._clock.monotonic() - began)


def _socket(kind: int, address: IPv4Address, port: int) -> socket.socket:
    """Open a socket on the address, which may come to this host later."""
    opened = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        with suppress(PermissionError):  # CAP_NET_ADMIN, which flanpyd has
            # The address is a route of the main table. Once a host has policy rules, the kernel looks for the source of
            # an answer in the table `local` alone (fib_unmerge, __ip_dev_find), and would refuse to send it.
            opened.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(address), port))
    except BaseException:
        opened.close()
        raise
    return opened


def _link(data: bytes) -> int:
    """Return the number of the link in a struct in_pktinfo (ip(7))."""
    return int(_PKTINFO.unpack_from(data)[0]) if len(data) >= _PKTINFO.size else 0


def _link_of(connection: socket.socket) -> int:
    """Return the link by which a TCP connection's first packet came in, 0 if the kernel does not tell."""
    try:
        told = connection.getsockopt(socket.IPPROTO_IP, _IP_PKTOPTIONS, 256)
        length, level, kind = _CMSG.unpack_from(told)
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return _link(told[_CMSG.size : length])
    except (OSError, struct.error):
        pass
    return 0


def _send(opened: socket.socket, octets: bytes, to: Any) -> None:
    if octets:
        with suppress(OSError):  # a full buffer or no way back: the container asks again
            opened.sendto(octets, to)
