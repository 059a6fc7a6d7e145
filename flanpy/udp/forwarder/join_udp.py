"""Joins consecutive datagrams of one UDP flow, as the kernel's own receive offload does (net/ipv4/udp_offload.c).

What the kernel cuts out of the joined packet again is what came in: headers alike, equal sizes but for the last,
identifications that count up (or mean nothing, RFC 6864: the packet may not be fragmented), checksums that were right.
"""

from __future__ import annotations

from flanpy.udp.forwarder import bulk
from flanpy.udp.forwarder.bulk_plain import UDP_ALIKE
from flanpy.udp.forwarder.checksum import fold, word_sum
from flanpy.udp.forwarder.packet import DONT_FRAGMENT, GSO_UDP_L4, LEAST, NEEDS_CSUM, PROTO_UDP, VNET, WORD

HEADER = LEAST + 8
MOST_JOINED = 64
"""UDP_MAX_SEGMENTS of older kernels: what is more in one packet, they refuse."""

_LENGTH, _SUM = LEAST + 4, LEAST + 6
_MAY_DIFFER = {2, 3, _LENGTH, _LENGTH + 1}


def header(packet: memoryview, each: int) -> int:
    """Length of the headers of a datagram that may be joined with others; 0 if it may not."""
    if each <= HEADER or WORD.unpack_from(packet, _LENGTH)[0] != each - LEAST:
        return 0
    return HEADER


def breaks(text: memoryview, each: int, _header: int) -> list[int]:
    """The numbers of datagrams that do not continue the one before."""
    return bulk.chosen.udp_breaks(text, each)


def continues(before: memoryview, tail: memoryview, _header: int) -> bool:
    """Is the shorter last datagram the next one of the flow?"""
    if any(tail[at] != before[at] for at in UDP_ALIKE if at not in _MAY_DIFFER):
        return False
    number = WORD.unpack_from(before, 4)[0] + 1 & 0xFFFF
    if WORD.unpack_from(tail, 4)[0] != number and WORD.unpack_from(tail, 6)[0] != DONT_FRAGMENT:
        return False
    total = word_sum(tail[12:20]) + PROTO_UDP + len(tail) - LEAST + word_sum(tail[LEAST:])
    return bool(tail[_SUM] or tail[_SUM + 1]) and fold(total) == 0xFFFF and word_sum(tail[:LEAST]) == 0xFFFF


def seal(head: bytearray, _last: memoryview, payload: int, each: int) -> bytes:
    """Make the UDP header one of `payload` bytes, its checksum left to the receiver. Returns virtio's header."""
    WORD.pack_into(head, _LENGTH, 8 + payload)
    WORD.pack_into(head, _SUM, fold(word_sum(head[12:20]) + PROTO_UDP + 8 + payload))
    return VNET.pack(NEEDS_CSUM, GSO_UDP_L4, HEADER, each - HEADER, LEAST, 6)
