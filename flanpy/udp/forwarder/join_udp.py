"""Joins consecutive datagrams of one UDP flow, as the kernel's own receive offload does (net/ipv4/udp_offload.c).

What the kernel cuts out of the joined packet again is what came in: headers alike, equal sizes but for the last,
identifications that count up (or mean nothing, RFC 6864: the packet may not be fragmented), checksums that were right.
"""

from __future__ import annotations

from numpy import array, flatnonzero, intp, uint16, uint32

from flanpy.udp.forwarder.checksum import Rows, fold, native, row_sums, word_sum
from flanpy.udp.forwarder.packet import DONT_FRAGMENT, GSO_UDP_L4, LEAST, NEEDS_CSUM, PROTO_UDP, VNET, WORD

HEADER = LEAST + 8
MOST_JOINED = 64
"""UDP_MAX_SEGMENTS of older kernels: what is more in one packet, they refuse."""

_LENGTH, _SUM = LEAST + 4, LEAST + 6
_ALIKE = array([0, 1, 2, 3, 6, 7, 8, 9, *range(12, LEAST + 6)], intp)
_MAY_DIFFER = {2, 3, _LENGTH, _LENGTH + 1}


def header(packet: memoryview, each: int) -> int:
    """Length of the headers of a datagram that may be joined with others; 0 if it may not."""
    if each <= HEADER or WORD.unpack_from(packet, _LENGTH)[0] != each - LEAST:
        return 0
    return HEADER


def breaks(rows: Rows, _header: int) -> list[int]:
    """The rows that do not continue the one before."""
    fields = rows[:, _ALIKE]
    words = rows.view(">u2")
    pseudo = native(fold(word_sum(rows[0, 12:20].tobytes()) + PROTO_UDP + rows.shape[1] - LEAST))
    # Both checksums at once, as with TCP; a sum of 0 says that there is none.
    good = ((row_sums(rows.view(uint16)) + uint32(pseudo)) % 0xFFFF == 0) & (words[:, _SUM // 2] != 0)
    numbers = words[:, 2].astype(uint16)
    counting = (numbers[1:] - numbers[:-1] == 1) | (words[1:, 3] == DONT_FRAGMENT)
    if good.all() and counting.all() and (fields == fields[0]).all():
        return []
    linked = (fields[1:] == fields[:-1]).all(axis=1) & counting & good[:-1] & good[1:]
    return (flatnonzero(~linked) + 1).tolist()


def continues(before: memoryview, tail: memoryview, _header: int) -> bool:
    """Is the shorter last datagram the next one of the flow?"""
    if any(tail[at] != before[at] for at in _ALIKE.tolist() if at not in _MAY_DIFFER):
        return False
    number = WORD.unpack_from(before, 4)[0] + 1 & 0xFFFF
    if WORD.unpack_from(tail, 4)[0] != number and WORD.unpack_from(tail, 6)[0] != DONT_FRAGMENT:
        return False
    total = word_sum(tail[12:20]) + PROTO_UDP + len(tail) - LEAST + word_sum(tail[LEAST:])
    return bool(tail[_SUM] or tail[_SUM + 1]) and fold(total) == 0xFFFF and word_sum(tail[:LEAST]) == 0xFFFF


def seal(head: bytearray, _last: memoryview, payload: int, each: int) -> bytes:
    """Make the UDP header one of `payload` bytes, its checksum left to whom it is for. Returns virtio's header."""
    WORD.pack_into(head, _LENGTH, 8 + payload)
    WORD.pack_into(head, _SUM, fold(word_sum(head[12:20]) + PROTO_UDP + 8 + payload))
    return VNET.pack(NEEDS_CSUM, GSO_UDP_L4, HEADER, each - HEADER, LEAST, 6)
