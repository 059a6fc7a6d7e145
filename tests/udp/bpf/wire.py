"""A tap on the underlay of a host, and what stands on the wire: frames as they arrive there, taken apart and summed."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.netns import Namespace
from tests.udp.bpf.frames import checksum

_ETH_P_ALL = 3
_OUTGOING = 4


@dataclass(frozen=True)
class Seen:
    """One tunnelled packet on the wire."""

    frame: bytes

    @property
    def outer(self) -> bytes:
        return self.frame[14:34]

    @property
    def udp(self) -> bytes:
        return self.frame[34:42]

    @property
    def inner(self) -> bytes:
        return self.frame[42:]

    def faults(self) -> list[str]:
        """Return the faults that a receiver that trusts nothing finds."""
        length, inner_length = _u16(self.outer, 2), _u16(self.inner, 2)
        checks = {
            "outer header checksum": checksum(self.outer) == 0,
            "outer length": length == len(self.frame) - 14,
            "UDP length": _u16(self.udp, 4) == length - 20,
            "inner length": inner_length == length - 28,
            "inner header checksum": checksum(self.inner[:20]) == 0,
            "fits the MTU": len(self.frame) <= 1514,
            "UDP checksum is none": _u16(self.udp, 6) == 0,
            "inner checksum": _transport_is_right(self.inner[:inner_length]),
        }
        return [what for what, right in checks.items() if not right]


def _transport_is_right(packet: bytes) -> bool:
    protocol, body = packet[9], packet[20:]
    if protocol == 17 and body[6:8] == bytes(2):
        return True
    pseudo = packet[12:20] + struct.pack("!BBH", 0, protocol, len(body)) if protocol in {6, 17} else b""
    return checksum(pseudo, body) == 0


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


class Tap:
    """All that arrives at a link; made before the traffic, read after it."""

    def __init__(self, at: Namespace, link: str) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
            sock.bind((link, _ETH_P_ALL))
            sock.setblocking(False)
            return sock

        self.socket = at.do(opened)

    def seen(self, port: int) -> list[Seen]:
        """Return the frames that came in for this UDP port so far."""
        found: list[Seen] = []
        while True:
            try:
                frame, (_, _, direction, *_) = self.socket.recvfrom(1 << 17)
            except BlockingIOError:
                return found
            if direction != _OUTGOING and frame[23] == 17 and _u16(frame, 36) == port:
                found.append(Seen(frame))


@contextmanager
def tap(at: Namespace, link: str) -> Iterator[Tap]:
    made = Tap(at, link)
    try:
        yield made
    finally:
        made.socket.close()
