"""A blocking netlink socket: a request and its answers, a dump, a batch.

Owns sequence numbers, acknowledgements, deadlines, the text of a refusal (extended ack), and dumps that changes
interrupt. Blocks for microseconds, as the kernel answers before `send` returns; on an event loop that matters only for
long dumps. Must not know what a message means.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from flanpy.errors import KernelError
from flanpy.netlink import numbers
from flanpy.netlink.framing import HEADER, HEADER_SIZE, messages, refusal

DEADLINE_S: Final = 5.0
_RECEIVE_BYTES: Final = 1 << 16
_DUMP_TRIES: Final = 8


@dataclass(frozen=True, slots=True)
class Request:
    """A message to the kernel: type, flags beside NLM_F_REQUEST, and the bytes after the header."""

    kind: int
    flags: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A message from the kernel: type, and the bytes after the header."""

    kind: int
    body: bytes


class NoAnswer(KernelError):
    """The socket failed or its deadline passed: what was asked for may have happened, or not."""


class BlockingSocket:
    """Speaks one netlink protocol (`socket.NETLINK_ROUTE`, 12 for netfilter) in the caller's network namespace.

    The socket is opened at the first request. After NoAnswer it is closed, and the next request opens another.
    """

    def __init__(
        self, protocol: int, *, deadline_s: float = DEADLINE_S, receive_bytes: int = _RECEIVE_BYTES
    ) -> None:
        self._protocol = protocol
        self._deadline_s = deadline_s
        self._receive_bytes = receive_bytes
        self._socket: socket.socket | None = None
        self._sequence = 0

    @property
    def port(self) -> int:
        """The port by which the kernel's notifications name this socket; 0 before the first request."""
        return int(self._socket.getsockname()[0]) if self._socket is not None else 0

    def close(self) -> None:
        """Close the socket; the next request opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def open(self) -> None:
        """Open the socket if it is not. Raises NoAnswer."""
        if self._socket is None:
            try:
                self._socket = self._opened()
            except OSError as error:
                raise NoAnswer("cannot open a netlink socket", errno=error.errno or 0) from error

    def ask(self, request: Request) -> Answer | None:
        """Return the first answer, None for a plain acknowledgement. Raises KernelError with the kernel's errno."""
        first = self._send([request])
        while True:
            for answer, sequence, _ in self._answers(first):
                if sequence == first:
                    return answer

    def change(self, request: Request) -> None:
        """Carry out one request and wait for its acknowledgement. Raises KernelError with the kernel's errno."""
        self.batch([Request(request.kind, request.flags | numbers.ACK, request.body)])

    def batch(self, requests: Iterable[Request]) -> None:
        """Send all requests as one datagram, and wait for the acknowledgement of each that asks for one.

        Raises KernelError for the first refusal, of whichever request.
        """
        every = list(requests)
        first = self._send(every)
        waiting = {first + at for at, one in enumerate(every) if one.flags & numbers.ACK}
        while waiting:
            for answer, sequence, _ in self._answers(first):
                if answer is None:
                    waiting.discard(sequence)

    def dump(self, kind: int, body: bytes) -> list[Answer]:
        """List, again and again if changes interrupt the listing. Raises KernelError."""
        for _ in range(_DUMP_TRIES):
            found, whole = self.dump_once(kind, body)
            if whole:
                return found
        raise KernelError("changes interrupted a listing again and again", errno=errno.EAGAIN)

    def dump_once(self, kind: int, body: bytes) -> tuple[list[Answer], bool]:
        """List once: the answers, and whether nothing changed meanwhile. Raises KernelError."""
        first = self._send([Request(kind, numbers.DUMP, body)])
        found: list[Answer] = []
        whole = True
        while True:
            for answer, sequence, flags in self._answers(first):
                if sequence != first:
                    continue
                whole = whole and not flags & numbers.DUMP_INTR
                if answer is None:
                    return found, whole
                found.append(answer)

    def _opened(self) -> socket.socket:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, self._protocol)
        try:
            sock.settimeout(self._deadline_s)
            sock.bind((0, 0))
            for option in (numbers.CAP_ACK, numbers.EXT_ACK):
                with suppress(OSError):  # kernels before 4.12: refusals without a text
                    sock.setsockopt(numbers.SOL_NETLINK, option, 1)
        except OSError:
            sock.close()
            raise
        return sock

    def _send(self, requests: Iterable[Request]) -> int:
        """Send, and return the sequence number of the first."""
        self.open()
        assert self._socket is not None
        first = self._sequence + 1
        data = bytearray()
        for one in requests:
            self._sequence += 1
            size = HEADER_SIZE + len(one.body)
            data += HEADER.pack(size, one.kind, one.flags | numbers.REQUEST, self._sequence, 0)
            data += one.body + bytes(-size & 3)
        try:
            self._socket.send(data)
        except OSError as error:
            raise self._failed("cannot send on the netlink socket", error) from error
        return first

    def _answers(self, first: int) -> Iterator[tuple[Answer | None, int, int]]:
        """Yield answer, sequence number and flags of each message of one datagram; None is the end, or an ACK.

        Messages that answer an abandoned request, from before `first`, are left out.
        """
        assert self._socket is not None
        try:
            datagram = self._socket.recv(self._receive_bytes)
        except OSError as error:
            raise self._failed("no answer on the netlink socket", error) from error
        for start, end, kind, flags, sequence, _ in messages(datagram):
            if sequence < first:
                continue
            if kind in {numbers.MSG_ERROR, numbers.MSG_DONE}:
                _raise_if_refused(datagram, start, end, flags)
                yield None, sequence, flags
            else:
                yield Answer(kind, datagram[start + HEADER_SIZE : end]), sequence, flags

    def _failed(self, what: str, error: OSError) -> NoAnswer:
        self.close()
        return NoAnswer(what, errno=error.errno or 0)


def _raise_if_refused(datagram: bytes, start: int, end: int, flags: int) -> None:
    if end - start < HEADER_SIZE + 4:
        return  # an NLMSG_DONE without a code
    refused = refusal(datagram, start, end, flags)
    if refused is not None:
        raise KernelError(refused.text or "the kernel refused", errno=refused.errno)
