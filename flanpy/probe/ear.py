"""Hears datagrams of checks beneath the overlay, before the kernel looks at the tunnel's own checksum.

A VXLAN device derives the outer UDP checksum from the inner one that the card is to make (the kernel's local checksum
offload). A card that leaves the inner one unmade so spoils the outer one, too, and the receiving kernel drops the
packet at the VXLAN port: nothing of it comes to the overlay's address. A raw socket at the underlay's address gets it.

Such a socket has the kernel copy the head of each packet of the tunnel, so it is open for a moment only: from when a
control comes (`payload.py`).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flanpy.errors import KernelError
from flanpy.model.address import Family, IPAddress
from flanpy.probe import bpf
from flanpy.probe.packet import address_of
from flanpy.probe.payload import MAGIC, UDP_HEADER, Piece, read

OPEN_S: Final = 3.0
"""From a control to the last of its set: two round trips, and the time that the control's judgement takes."""

_VXLAN_AND_ETHERNET: Final = 8 + 14
_INNER_HEADER: Final = {Family.IPV4: 20, Family.IPV6: 40}
_SOURCE: Final = {Family.IPV4: (12, 4), Family.IPV6: (8, 16)}
_AT_ONCE: Final = 64
_READ: Final = 256

Heard = Callable[[IPAddress, Piece], None]
"""Called with the sender's overlay address, and the datagram."""


@dataclass(frozen=True, slots=True)
class TunnelEntry:
    """A tunnel's way in: this host's underlay address, the tunnel's UDP port, and that of the checks."""

    underlay: IPAddress
    tunnel_port: int
    port: int


class Ear:
    """For one family of the overlay. `open_for` says how long it stays open."""

    def __init__(self, place: TunnelEntry, family: Family, heard: Heard, *, open_for: float = OPEN_S) -> None:
        self._place = place
        self._family = family
        self._heard = heard
        self._open_for = open_for
        self._loop = asyncio.get_running_loop()
        self._sock: socket.socket | None = None
        self._end: asyncio.TimerHandle | None = None
        self._errors = 0

    @property
    def is_open(self) -> bool:
        return self._sock is not None

    @property
    def found_errors(self) -> bool:
        """Report whether the kernel dropped UDP for its checksum since this was opened."""
        return self.is_open and checksum_errors() > self._errors

    def open(self) -> None:
        """Listen from now on, for a moment. Raises KernelError."""
        if self._end is not None:
            self._end.cancel()
        if self._sock is None:
            self._sock = self._listening()
            self._errors = checksum_errors()
            self._loop.add_reader(self._sock.fileno(), self._came)
        self._end = self._loop.call_later(self._open_for, self.close)

    def close(self) -> None:
        if self._end is not None:
            self._end.cancel()
        if self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
        self._sock = self._end = None

    def _listening(self) -> socket.socket:
        four = self._place.underlay.version == 4
        inner = UDP_HEADER + _VXLAN_AND_ETHERNET + _INNER_HEADER[self._family]
        try:
            sock = socket.socket(
                socket.AF_INET if four else socket.AF_INET6,
                socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
                socket.IPPROTO_UDP,
            )
        except OSError as error:
            raise KernelError("cannot open a raw socket for UDP", error.errno or 0) from error
        try:
            tests = (
                (bpf.HALF, 2, self._place.tunnel_port),
                (bpf.HALF, inner + 2, self._place.port),
                (bpf.WORD, inner + UDP_HEADER, MAGIC),
            )
            bpf.attach(sock, tests, with_header=four)
            sock.bind((str(self._place.underlay), 0))
        except OSError as error:
            sock.close()
            raise KernelError(f"cannot listen at {self._place.underlay}", error.errno or 0) from error
        return sock

    def _came(self) -> None:
        assert self._sock is not None
        four = self._place.underlay.version == 4
        for _ in range(_AT_ONCE):
            try:
                octets = self._sock.recv(_READ)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # a refusal that the kernel hands over as the socket's own error
                continue
            start = (octets[0] & 0x0F) * 4 if four and octets else 0
            self._take(octets[start + UDP_HEADER + _VXLAN_AND_ETHERNET :])

    def _take(self, packet: bytes) -> None:
        """Take an inner IP packet."""
        at, size = _SOURCE[self._family]
        found = read(packet[_INNER_HEADER[self._family] + UDP_HEADER :])
        if found is not None:
            self._heard(address_of(socket.inet_ntop(_AF[self._family], packet[at : at + size])), found)


_AF: Final = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_COUNTERS: Final = (Path("/proc/self/net/snmp"), Path("/proc/self/net/snmp6"))


def checksum_errors() -> int:
    """Count the UDP packets that this host's kernel dropped for their checksum; 0 where it does not tell."""
    try:
        four, six = (path.read_text() for path in _COUNTERS)
    except (OSError, ValueError):
        return 0
    names, values = (line.split() for line in four.splitlines() if line.startswith("Udp:"))
    counted = dict(zip(names, values, strict=False))
    counted6 = dict(line.split() for line in six.splitlines() if line.startswith("Udp6"))
    return int(counted.get("InCsumErrors", 0)) + int(counted6.get("Udp6InCsumErrors", 0))
