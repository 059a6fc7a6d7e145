"""The ICMP errors of a router that cannot forward (RFC 792, RFC 1812 section 4.3.2), for the TUN device."""

from __future__ import annotations

import struct
from time import monotonic

from flanpy.udp.forwarder.checksum import checksum
from flanpy.udp.forwarder.packet import IPV4, OFFSET, PROTO_ICMP

NET_UNREACHABLE = (3, 0)
FRAGMENTATION_NEEDED = (3, 4)
TTL_EXCEEDED = (11, 0)

QUOTED = 548
"""Bytes of the offending packet: as many as fit when the whole is to be at most 576 long (RFC 1812, 4.3.2.3)."""

RATE, BURST = 1000.0, 50.0
"""Errors a second, and at once: the limits of the kernel's own `icmp_msgs_per_sec` and `icmp_msgs_burst`."""

_ICMP = struct.Struct(">BBHHH")
_ERRORS = frozenset({3, 4, 5, 11, 12})


class Limiter:
    """A token bucket."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = BURST
        self._at = monotonic()

    def allows(self) -> bool:
        now = monotonic()
        self._left = min(BURST, self._left + (now - self._at) * RATE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def error(kind: tuple[int, int], packet: bytes | memoryview, own: int, *, mtu: int = 0) -> bytes | None:
    """The ICMP packet from address `own` about `packet`, which has a whole IPv4 header; None where none may be sent."""
    start, _tos, _length, _id, offset, _ttl, protocol, _sum, source, to = IPV4.unpack_from(packet)
    header = (start & 15) * 4
    if offset & OFFSET or not 0 < source >> 24 < 224 or source >> 24 == 127:
        return None
    if to >> 28 == 14 or to == 0xFFFFFFFF:
        return None
    if protocol == PROTO_ICMP and (len(packet) <= header or packet[header] in _ERRORS):
        return None
    quoted = bytes(packet[:QUOTED])
    body = bytearray(_ICMP.pack(*kind, 0, 0, mtu) + quoted)
    struct.pack_into(">H", body, 2, checksum(body))
    head = bytearray(IPV4.pack(0x45, 0xC0, IPV4.size + len(body), 0, 0, 64, PROTO_ICMP, 0, own, source))
    struct.pack_into(">H", head, 10, checksum(head))
    return bytes(head + body)
