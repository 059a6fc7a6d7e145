"""The sockets that echo requests go out by, and answers, requests of peers and refusals come in by: one a family.

A raw socket sees every ICMP packet of the host, so the kernel is given a filter that lets only ours through. Without
CAP_NET_RAW the unprivileged ping socket does, where net.ipv4.ping_group_range allows it; it hears answers only.
"""

from __future__ import annotations

import array
import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from flanpy.clock import Clock
from flanpy.errors import KernelError
from flanpy.model.address import Family, IPAddress
from flanpy.probe import packet
from flanpy.probe.packet import MAGIC, Incoming

Receive = Callable[[Incoming, float], None]
"""The callback for each packet, with the monotonic time at which the kernel received it."""

_AT_ONCE: Final = 256
"""Packets read in one go: what floods us must not keep the loop from its other work."""

_LARGEST: Final = 65_535
_BUFFER: Final = 256 * 1024
_SO_TIMESTAMPNS: Final = 35
_SO_ATTACH_FILTER: Final = 26
_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_PMTUDISC_PROBE: Final = 3
"""Set DF and heed no remembered path MTU (Linux ip(7)): what gets through is measured, not recalled."""

_QUOTED_PROTOCOL = {Family.IPV4: (8 + 9, 1), Family.IPV6: (8 + 6, 58)}
_TYPES = {Family.IPV4: (0, 8, 3), Family.IPV6: (129, 128, 1)}

NO_PERMISSION: Final = (
    "no permission to send ICMP echo requests: give flanpyd CAP_NET_RAW, or let its group use ping sockets "
    "(sysctl net.ipv4.ping_group_range)"
)


class EchoRefused(KernelError):
    """A probe could not be sent; `errno` says why."""


class EchoSocket:
    """One family's socket. `deaf`: it hears no requests of peers."""

    def __init__(self, family: Family, clock: Clock, receive: Receive) -> None:
        """Raises KernelError if no socket may be had."""
        self.family = family
        self._clock = clock
        self._receive = receive
        self._socket, self.deaf = _open(family)
        self._with_header = family is Family.IPV4 and not self.deaf
        self._ident = int.from_bytes(struct.pack("!H", id(self) >> 4 & 0xFFFF), "big")
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._socket.close()

    def send(self, target: IPAddress, probe: packet.Probe, *, size: int = 0) -> None:
        """Send one request; raises EchoRefused."""
        octets = packet.request(self.family, probe, ident=self._ident, size=size)
        try:
            self._socket.sendto(octets, (str(target), 0))
        except OSError as error:
            raise EchoRefused(f"cannot send to {target}", error.errno or errno.EIO) from error

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                octets, extra, _, sender = self._socket.recvmsg(_LARGEST, 64)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # a refusal that the kernel hands over as the socket's own error
                continue
            found = packet.read(
                self.family, octets, packet.address_of(sender[0]), with_header=self._with_header
            )
            if found is not None:
                self._receive(found, self._clock.monotonic() - _age(extra, self._clock.wall()))


def _open(family: Family) -> tuple[socket.socket, bool]:
    kind = socket.AF_INET if family is Family.IPV4 else socket.AF_INET6
    protocol = socket.IPPROTO_ICMP if family is Family.IPV4 else socket.IPPROTO_ICMPV6
    try:
        sock = socket.socket(kind, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
        deaf = False
    except PermissionError:
        sock, deaf = _open_ping(kind, protocol), True
    except OSError as error:
        raise KernelError(
            f"cannot open a socket for ICMP over IPv{_version(family)}", error.errno or 0
        ) from error
    if not deaf:
        _filter(sock, family)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    if family is Family.IPV4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_PROBE)
    return sock, deaf


def _open_ping(kind: int, protocol: int) -> socket.socket:
    try:
        return socket.socket(kind, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        raise KernelError(NO_PERMISSION, error.errno or errno.EPERM) from error


def _version(family: Family) -> int:
    return 4 if family is Family.IPV4 else 6


def _filter(sock: socket.socket, family: Family) -> None:
    """Let through echoes that begin with our magic, and refusals that quote an ICMP packet (classic BPF)."""
    program = b"".join(struct.pack("=HBBI", *line) for line in _program(family))
    code = array.array("B", program)  # it must live until the kernel has copied it
    address, size = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", size // 8, address))


def _program(family: Family) -> Iterable[tuple[int, int, int, int]]:
    """Raw IPv4 is given with its header, raw IPv6 without: X holds where ICMP begins."""
    answer, request, refusal = _TYPES[family]
    at, protocol = _QUOTED_PROTOCOL[family]
    return (
        (0xB1, 0, 0, 0) if family is Family.IPV4 else (0x01, 0, 0, 0),  # X = length of the IP header, or 0
        (0x50, 0, 0, 0),  # A = type
        (0x15, 2, 0, answer),
        (0x15, 1, 0, request),
        (0x15, 2, 5, refusal),
        (0x40, 0, 0, 8),  # A = first word of the payload
        (0x15, 2, 3, MAGIC),
        (0x50, 0, 0, at),  # A = protocol of the packet that is quoted
        (0x15, 0, 1, protocol),
        (0x06, 0, 0, 0xFFFF),
        (0x06, 0, 0, 0),
    )


def _age(extra: Iterable[tuple[int, int, bytes]], wall: float) -> float:
    """Seconds since the kernel took the packet in: the event loop may have been busy since. Never negative.

    The kernel stamps by the wall clock; only the difference to now is used, and one too large to be true is not.
    """
    for level, kind, value in extra:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(value) >= 16:
            seconds, nanoseconds = struct.unpack_from("@ll", value)
            age = wall - seconds - nanoseconds / 1e9
            return age if 0 <= age < 5 else 0.0
    return 0.0
