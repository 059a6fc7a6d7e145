"""The sockets that datagrams of full size go out by, and come in by twice: before and after the kernel looks at them.

A raw socket is given a datagram as it came, a UDP socket only what the kernel found right. What the one got and the
other did not had a wrong checksum, if the kernel counts such an error meanwhile: what a full queue loses is not counted
so. Both sockets are bound to this host's own overlay address, so that no other packet of the host costs more for it.
For a moment the `Ear` hears beneath the overlay, too.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from flanpy.errors import KernelError
from flanpy.model.address import Family, IPAddress
from flanpy.probe import bpf
from flanpy.probe.ear import Ear, TunnelEntry
from flanpy.probe.packet import HEADERS, address_of
from flanpy.probe.payload import MAGIC, PIECES, UDP_HEADER, Make, Piece, payload, read

Judged = Callable[[IPAddress, Piece, bool], None]
"""Told of each datagram that came, once it is known whether it came whole: sender, which, whole."""

SETTLE_S: Final = 0.2
"""Between a datagram's arrival and the judgement: both sockets have it within microseconds."""

_MOST: Final = 64
"""Datagrams that are judged at a time; more are of no peer."""

_AT_ONCE: Final = 64
_READ: Final = 128
_BUFFER: Final = 512 * 1024
_IP_FREEBIND, _IPV6_FREEBIND = 15, 78
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE = 10, 23, 3
_SOL_UDP, _UDP_SEGMENT = 17, 103


@dataclass(slots=True)
class _Arrived:
    """Pieces of one datagram: all that came, and those of them that were right."""

    seen: set[int] = field(default_factory=set)
    right: set[int] = field(default_factory=set)


class PayloadPort:
    """One family's sockets at `address` in the overlay, whose tunnel ends at `place`. `judged` is told what came."""

    def __init__(self, address: IPAddress, place: TunnelEntry, judged: Judged) -> None:
        """Open the sockets. Raises KernelError if they may not be had."""
        self.address = address
        self.place = place
        self._family = Family.of(address)
        self._port = port = place.port
        self._ear = Ear(place, self._family, self._seen)
        self._judged = judged
        self._arrived: dict[tuple[IPAddress, int, int], _Arrived] = {}
        self._udp = _open(address, port, socket.SOCK_DGRAM)
        try:
            self._raw = _open(address, port, socket.SOCK_RAW)
        except KernelError:
            self._udp.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._udp.fileno(), self._came_right)
        self._loop.add_reader(self._raw.fileno(), self._came)

    def close(self) -> None:
        for sock in (self._udp, self._raw):
            self._loop.remove_reader(sock.fileno())
            sock.close()
        self._ear.close()
        self._arrived.clear()

    def send(self, target: IPAddress, make: Make, boot: int, number: int, *, size: int) -> bool:
        """Send one that makes an IP packet of `size` bytes, or several; says whether it went out."""
        room = size - HEADERS[self._family]  # an echo's header is as long as UDP's
        pieces = PIECES if make is Make.CARD_CUT else 1
        octets = payload(boot, number, room, pieces)
        where = (str(target), self._port)
        try:
            match make:
                case Make.KERNEL:
                    # What is put together in parts gets its checksum from the kernel as it copies them.
                    self._udp.sendto(octets[: room // 2], socket.MSG_MORE, where)
                    self._udp.sendto(octets[room // 2 :], where)
                case Make.CARD:
                    self._udp.sendto(octets, where)
                case Make.CARD_CUT:
                    cut = [(_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", room))]
                    self._udp.sendmsg([octets], cut, 0, where)
        except OSError:
            # No way there just now, or a kernel or device that does not cut: it says nothing of the card.
            return False
        return True

    def _came(self) -> None:
        """Read the raw socket, which gives the IP header in IPv4."""
        for octets, sender in _received(self._raw):
            start = (octets[0] & 0x0F) * 4 if self._family is Family.IPV4 and octets else 0
            found = read(octets[start + UDP_HEADER :])
            if found is not None:
                self._seen(sender, found)

    def _seen(self, sender: IPAddress, found: Piece) -> None:
        self._note(sender, found).seen.add(found.piece)

    def _came_right(self) -> None:
        for octets, sender in _received(self._udp):
            found = read(octets)
            if found is not None:
                self._note(sender, found).right.add(found.piece)
                with suppress(KernelError):  # then only what comes to the overlay's address is judged
                    self._ear.open()

    def _note(self, sender: IPAddress, piece: Piece) -> _Arrived:
        key = (sender, piece.boot, piece.number)
        known = self._arrived.get(key)
        if known is None:
            known = _Arrived()
            if len(self._arrived) < _MOST:
                self._arrived[key] = known
                self._loop.call_later(SETTLE_S, self._settle, key)
        return known

    def _settle(self, key: tuple[IPAddress, int, int]) -> None:
        came = self._arrived.pop(key, None)
        if came is None or not came.seen:
            return
        sender, boot, number = key
        whole = came.seen <= came.right
        if whole or self._ear.found_errors:  # else it was lost on the way between the two sockets
            self._judged(sender, Piece(boot, number), whole)


def _received(sock: socket.socket) -> Iterable[tuple[bytes, IPAddress]]:
    for _ in range(_AT_ONCE):
        try:
            octets, sender = sock.recvfrom(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # a refusal that the kernel hands over as the socket's own error
            continue
        yield octets, address_of(sender[0])


def _open(address: IPAddress, port: int, kind: socket.SocketKind) -> socket.socket:
    four = address.version == 4
    try:
        sock = socket.socket(
            socket.AF_INET if four else socket.AF_INET6,
            kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.IPPROTO_UDP,
        )
    except OSError as error:
        raise KernelError(
            f"cannot open a socket for UDP over IPv{address.version}", error.errno or 0
        ) from error
    raw = kind is socket.SOCK_RAW
    try:
        level = socket.IPPROTO_IP if four else socket.IPPROTO_IPV6
        # The device may come later, or again.
        sock.setsockopt(level, _IP_FREEBIND if four else _IPV6_FREEBIND, 1)
        sock.setsockopt(level, _IP_MTU_DISCOVER if four else _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        # A UDP socket with a filter has the checksum looked at before anything is queued.
        tests = ((bpf.HALF, 2, port), (bpf.WORD, UDP_HEADER, MAGIC))
        bpf.attach(sock, tests, with_header=raw and four)
        sock.bind((str(address), 0 if raw else port))
    except OSError as error:
        sock.close()
        raise KernelError(f"cannot listen at {address}, UDP port {port}", error.errno or errno.EIO) from error
    return sock
