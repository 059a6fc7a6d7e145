"""A netlink request socket: batches of changes, and dumps.

Owns sequence numbers, acknowledgements and deadlines. Must not: know the meaning of a message.

Netlink answers before `send` returns, so a socket without an answer to read after a request lost it; the wait for it
is bounded all the same. Only the last message of a batch asks for an ACK: a refused one answers anyway, with
its sequence number, so no failure is lost, and thousands of ACKs need not be read.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from flanpy.errors import MALFORMED, KernelError
from flanpy.netlink import framing, numbers
from flanpy.netlink.framing import HEADER_SIZE, KernelRefusal

SEND_MESSAGES = 256
_LEAST_MESSAGES = 16
_HOLD_S = 0.010
ANSWER_DEADLINE_S = 5.0
_SOL_NETLINK = 270
_SO_RCVBUFFORCE = 33
_RECEIVE_BYTES = 1 << 16
_SOCKET_BUFFER_BYTES = 4 << 20
_DUMP_TRIES = 8
_LACKING = frozenset({errno.ENOENT, errno.EOPNOTSUPP, errno.EAFNOSUPPORT})
"""Refusals of a dump that mean an empty one: ENOENT is a table that no route was ever put into, as `main` is in a
namespace where no link, not even lo, was up yet; the others are families without support."""

T = TypeVar("T")
SocketFactory = Callable[[], socket.socket]
Parse = Callable[[bytes, int, int], T | None]
Written = Callable[[Sequence[bytearray]], None]
"""Told what the kernel has just carried out, before anything else runs; nothing, for what was no message."""


def open_netlink() -> socket.socket:
    """Open a bound, non-blocking NETLINK_ROUTE socket in the network namespace of the calling thread."""
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    sock.bind((0, 0))
    sock.setblocking(False)
    return sock


def enlarge_receive_buffer(sock: socket.socket, size: int) -> None:
    """Make room for bursts, beyond net.core.rmem_max where CAP_NET_ADMIN allows it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


class SocketUnusable(KernelError):
    """The socket gave no usable answer: the request may or may not have taken effect."""


_SIOCGIFNAME = 0x8910
_NAME_BYTES = 16
"""IFNAMSIZ of linux/if.h, with the end."""


class RequestSocket:
    """A request socket: one request at a time; callers queue. `port` is the port id on our changes' events."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        enlarge_receive_buffer(sock, _SOCKET_BUFFER_BYTES)
        for option in (numbers.CAP_ACK, numbers.EXT_ACK, numbers.STRICT_CHECK):
            with suppress(OSError):  # kernels before 4.20: no filters, longer answers
                sock.setsockopt(_SOL_NETLINK, option, 1)
        self.port: int = sock.getsockname()[0]
        self._sequence = 0
        self._part = SEND_MESSAGES
        self._turn = asyncio.Lock()
        self.before_writing: Callable[[], None] = lambda: None
        self.on_written: Written = lambda _: None
        self.on_undone: Callable[[], None] = lambda: None

    def close(self) -> None:
        self._sock.close()

    async def change(self, batch: Sequence[bytearray]) -> list[KernelRefusal | None]:
        """Send all messages in order and return those refused; yields to the loop between sends.

        Raises SocketUnusable if the outcome of any is unknown.
        """
        outcome: list[KernelRefusal | None] = [None] * len(batch)
        clock = asyncio.get_running_loop().time
        first = 0
        async with self._turn:
            while first < len(batch):
                end = min(first + self._part, len(batch))
                self.before_writing()
                began = clock()
                await self._send_part(batch[first:end], first, outcome)
                self.on_written(batch[first:end])
                self._part = _next_part(end - first, clock() - began)
                first = end
                if first < len(batch):
                    await asyncio.sleep(0)
        return outcome

    async def _send_part(
        self, part: Sequence[bytearray], first: int, outcome: list[KernelRefusal | None]
    ) -> None:
        base = self._sequence + 1
        for sequence, message in enumerate(part, base):
            framing.U32.pack_into(message, framing.SEQUENCE_OFFSET, sequence)
        last = self._sequence = base + len(part) - 1
        flags = framing.U16.unpack_from(part[-1], framing.FLAGS_OFFSET)[0]
        framing.U16.pack_into(part[-1], framing.FLAGS_OFFSET, flags | numbers.ACK)
        self._send(b"".join(part))
        while True:
            answer = await self._receive()
            for start, end, kind, answer_flags, sequence, _ in framing.messages(answer):
                if kind != numbers.MSG_ERROR or not base <= sequence <= last:
                    continue  # a late answer to a request that was given up
                outcome[first + sequence - base] = framing.refusal(answer, start, end, answer_flags)
                if sequence == last:
                    return

    async def dump(self, message: bytearray, parse: Parse[T]) -> list[T]:
        """Run one dump; return the results of `parse(buffer, start, end)` for each message, without the Nones.

        Yields to the loop after every datagram. A dump that the kernel marks as interrupted by a change is run again.
        A table or a family that this kernel or namespace lacks has nothing in it.
        """
        async with self._turn:
            for _ in range(_DUMP_TRIES):
                dump = _Dump(parse)
                try:
                    await self._run_dump(message, dump)
                except KernelError as error:
                    if error.errno not in _LACKING:
                        raise
                    return []
                if not dump.interrupted:
                    return dump.found
        raise KernelError(f"a dump was interrupted by changes {_DUMP_TRIES} times", errno=errno.EAGAIN)

    async def _run_dump(self, message: bytearray, dump: _Dump[T]) -> None:
        wanted = self._stamp_and_send(message)
        try:
            while not dump.take(await self._receive(), wanted):  # noqa: ASYNC110 - lets others run, waits for nothing
                await asyncio.sleep(0)
        except BaseException:  # cancelled, most likely: the kernel refuses the next dump while this one runs
            rest = _Dump[None](lambda *_: None)  # whatever it was that could not be read
            with suppress(KernelError, OSError):
                while not rest.take(self._sock.recv(_RECEIVE_BYTES), wanted):
                    pass
            raise

    async def ask(self, message: bytearray) -> bytes | KernelRefusal:
        """Send one request with one answer (RTM_GET* without NLM_F_DUMP)."""
        async with self._turn:
            wanted = self._stamp_and_send(message)
            while True:
                answer = await self._receive()
                for start, end, kind, flags, sequence, _ in framing.messages(answer):
                    if sequence != wanted:
                        continue
                    if kind == numbers.MSG_ERROR:
                        return framing.refusal(answer, start, end, flags) or KernelRefusal(errno.ENODATA)
                    return answer[start:end]

    def link_name(self, index: int) -> bytes:
        """Return the name of the link with this index in the socket's namespace, empty if there is none.

        netdevice(7): SIOCGIFNAME works on any socket. Unlike RTM_GETLINK it does not wait for the kernel's lock of all
        links (rtnl), and unlike SIOCGIFINDEX it does not make the kernel look for a module of an absent link's name.
        """
        try:
            answer = fcntl.ioctl(self._sock, _SIOCGIFNAME, struct.pack(f"@{_NAME_BYTES}xi20x", index))
        except (OSError, ValueError):  # no such link; a closed socket, as the next request tells
            return b""
        return answer[:_NAME_BYTES].partition(b"\0")[0]

    def _stamp_and_send(self, message: bytearray) -> int:
        self._sequence += 1
        framing.U32.pack_into(message, framing.SEQUENCE_OFFSET, self._sequence)
        self._send(message)
        return self._sequence

    def _send(self, message: bytes | bytearray) -> None:
        try:
            self._sock.send(message)
        except OSError as error:
            raise SocketUnusable("cannot send on the netlink socket", errno=error.errno or 0) from error

    async def _receive(self) -> bytes:
        try:
            with suppress(BlockingIOError):
                return self._sock.recv(_RECEIVE_BYTES)
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                return await asyncio.get_running_loop().sock_recv(self._sock, _RECEIVE_BYTES)
        except TimeoutError as error:
            raise SocketUnusable(
                f"no answer on the netlink socket in {ANSWER_DEADLINE_S:g} s", errno=errno.ETIMEDOUT
            ) from error
        except OSError as error:  # ENOBUFS: answers were lost, so the outcome is unknown
            raise SocketUnusable("cannot read the netlink socket", errno=error.errno or 0) from error


def _next_part(sent: int, took: float) -> int:
    """Return the number of messages of the next part, so that the loop is held for no longer than `_HOLD_S`.

    With 10,000 routes on one device the kernel takes 0.3 ms for a route (it compares a new next hop with all that
    share the device): 256 at a time would be 80 ms.
    """
    return max(_LEAST_MESSAGES, min(SEND_MESSAGES, int(sent * _HOLD_S / max(took, 1e-6))))


class _Dump(Generic[T]):
    """The result of a dump so far."""

    def __init__(self, parse: Parse[T]) -> None:
        self._parse = parse
        self.found: list[T] = []
        self.interrupted = False

    def take(self, datagram: bytes, wanted: int) -> bool:
        """Take one datagram; True if it was the last. Raises KernelError if the kernel refused the dump."""
        try:
            return self._taken(datagram, wanted)
        except MALFORMED as error:
            raise KernelError(
                f"an answer of the kernel cannot be read: {error!r:.200}", errno.EBADMSG
            ) from error

    def _taken(self, datagram: bytes, wanted: int) -> bool:
        parse, found, unpack = self._parse, self.found, framing.HEADER.unpack_from
        position, size = 0, len(datagram)
        while (
            position + HEADER_SIZE <= size
        ):  # `framing.messages` by hand: this runs 30,000 times a read-back
            length, kind, flags, sequence, _ = unpack(datagram, position)
            start, end = position, position + length
            if length < HEADER_SIZE or end > size:
                raise KernelError("an answer of the kernel is cut off", errno.EBADMSG)
            position += (length + 3) & ~3
            if sequence != wanted:
                continue
            if flags & numbers.DUMP_INTR:
                self.interrupted = True
            if kind <= numbers.MSG_DONE:
                _raise_if_refused(_last_word(datagram, start, end, kind, flags))
                return True
            one = parse(datagram, start, end)
            if one is not None:
                found.append(one)
        return False


def _last_word(datagram: bytes, start: int, end: int, kind: int, flags: int) -> KernelRefusal | None:
    """Return the refusal in the message that ends a dump, None if there is none."""
    if kind == numbers.MSG_ERROR:
        return framing.refusal(datagram, start, end, flags)
    status = framing.S32.unpack_from(datagram, start + HEADER_SIZE)[0]
    return KernelRefusal(-status) if status < 0 else None


def _raise_if_refused(said: KernelRefusal | None) -> None:
    if said is not None:
        raise KernelError(said.text or "the kernel refused to list", errno=said.errno)
