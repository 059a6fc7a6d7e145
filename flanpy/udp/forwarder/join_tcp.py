"""Joins consecutive segments of one TCP flow, as the kernel's own receive offload does (net/ipv4/tcp_offload.c).

Only what the kernel could cut into the very same segments again is joined: headers alike but for sequence number and
IP identification, equal sizes but for the last, plain ACKs (the last may push). Checksums are verified before, since
the joined packet has none: what is wrong stays as it is, for its receiver to find.
"""

from __future__ import annotations

from flanpy.udp.forwarder import bulk
from flanpy.udp.forwarder.bulk_plain import TCP_ALIKE
from flanpy.udp.forwarder.checksum import fold, word_sum
from flanpy.udp.forwarder.packet import (
    ACK,
    GSO_TCPV4,
    LEAST,
    NEEDS_CSUM,
    PROTO_TCP,
    PSH,
    VNET,
    WORD,
)

_FLAGS = LEAST + 13
_LENGTH = (2, 3)
MOST_JOINED = 65535
"""What is received in one bulk is never more than one packet may hold."""


def header(packet: memoryview, each: int) -> int:
    """Length of the headers of a segment that may be joined with others; 0 if it may not."""
    if each < LEAST + 20:
        return 0
    found = LEAST + (packet[LEAST + 12] >> 4) * 4
    return found if LEAST + 20 <= found < each else 0


def breaks(text: memoryview, each: int, header: int) -> list[int]:
    """The numbers of segments that do not continue the one before."""
    return bulk.chosen.tcp_breaks(text, each, header)


def continues(before: memoryview, tail: memoryview, header: int) -> bool:
    """Is the shorter last datagram the next segment of the flow?"""
    if (
        before[_FLAGS] != ACK
        or tail[_FLAGS] | PSH != ACK | PSH
        or any(tail[at] != before[at] for at in (*TCP_ALIKE, *range(LEAST + 20, header)) if at not in _LENGTH)
    ):
        return False
    sequence = int.from_bytes(before[LEAST + 4 : LEAST + 8], "big") + len(before) - header
    if int.from_bytes(tail[LEAST + 4 : LEAST + 8], "big") != sequence & 0xFFFFFFFF:
        return False
    total = word_sum(tail[12:20]) + PROTO_TCP + len(tail) - LEAST + word_sum(tail[LEAST:])
    return fold(total) == 0xFFFF and word_sum(tail[:LEAST]) == 0xFFFF


def seal(head: bytearray, last: memoryview, payload: int, each: int) -> bytes:
    """Make the TCP header one of all segments, its checksum left to the receiver. Returns virtio's header."""
    head[_FLAGS] = last[_FLAGS]
    pseudo = word_sum(head[12:20]) + PROTO_TCP + len(head) - LEAST + payload
    WORD.pack_into(head, LEAST + 16, fold(pseudo))
    return VNET.pack(NEEDS_CSUM, GSO_TCPV4, len(head), each - len(head), LEAST, 16)
