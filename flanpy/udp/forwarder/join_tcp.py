"""Joins consecutive segments of one TCP flow, as the kernel's own receive offload does (net/ipv4/tcp_offload.c).

Only what the kernel could cut into the very same segments again is joined: headers alike but for sequence number and
IP identification, equal sizes but for the last, plain ACKs (the last may push). Checksums are verified before, since
the joined packet bears none: what is wrong stays as it is, for its receiver to find.
"""

from __future__ import annotations

from numpy import array, flatnonzero, uint16, uint32

from flanpy.udp.forwarder.checksum import Rows, fold, native, row_sums, word_sum
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
_ALIKE = [0, 1, 2, 3, 6, 7, 8, 9, *range(12, 24), *range(28, 33), 34, 35]
"""Bytes that must be equal: IPv4 but identification and checksum; ports, acknowledgment, offset, window."""


MOST_JOINED = 65535
"""What is received in one bulk is never more than one packet may hold."""


def header(packet: memoryview, each: int) -> int:
    """Length of the headers of a segment that may be joined with others; 0 if it may not."""
    if each < LEAST + 20:
        return 0
    found = LEAST + (packet[LEAST + 12] >> 4) * 4
    return found if LEAST + 20 <= found < each else 0


def breaks(rows: Rows, header: int) -> list[int]:
    """The rows that do not continue the one before."""
    fields = rows[:, _alike(header)]
    words = rows.view(">u2")
    sequence = words[:, 12].astype(uint32) << uint32(16) | words[:, 13]
    pseudo = native(fold(word_sum(rows[0, 12:20].tobytes()) + PROTO_TCP + rows.shape[1] - LEAST))
    # Both checksums at once: where the IPv4 header sums up to nothing, the whole row is what TCP's covers.
    good = (row_sums(rows.view(uint16)) + uint32(pseudo)) % 0xFFFF == 0
    plain = rows[:, _FLAGS] == ACK
    step = rows.shape[1] - header
    if good.all() and plain[:-1].all() and (fields == fields[0]).all():
        links = sequence[1:] - sequence[:-1] == step
        if links.all() and rows[-1, _FLAGS] | PSH == ACK | PSH:
            return []
    pushing = (rows[:, _FLAGS] | PSH) == ACK | PSH
    alike = (fields[1:] == fields[:-1]).all(axis=1) & (sequence[1:] - sequence[:-1] == step)
    linked = alike & plain[:-1] & pushing[1:] & good[:-1] & good[1:]
    return (flatnonzero(~linked) + 1).tolist()


def _alike(header: int) -> Rows:
    found = _COLUMNS.get(header)
    if found is None:
        found = _COLUMNS[header] = array([*_ALIKE, *range(LEAST + 20, header)])
    return found


_COLUMNS: dict[int, Rows] = {}


def continues(before: memoryview, tail: memoryview, header: int) -> bool:
    """Is the shorter last datagram the next segment of the flow?"""
    if (
        before[_FLAGS] != ACK
        or tail[_FLAGS] | PSH != ACK | PSH
        or any(tail[at] != before[at] for at in _alike(header) if at not in _LENGTH)
    ):
        return False
    sequence = int.from_bytes(before[LEAST + 4 : LEAST + 8], "big") + len(before) - header
    if int.from_bytes(tail[LEAST + 4 : LEAST + 8], "big") != sequence & 0xFFFFFFFF:
        return False
    total = word_sum(tail[12:20]) + PROTO_TCP + len(tail) - LEAST + word_sum(tail[LEAST:])
    return fold(total) == 0xFFFF and word_sum(tail[:LEAST]) == 0xFFFF


def seal(head: bytearray, last: memoryview, payload: int, each: int) -> bytes:
    """Make the TCP header one of all segments, its checksum left to whom it is for. Returns virtio's header."""
    head[_FLAGS] = last[_FLAGS]
    pseudo = word_sum(head[12:20]) + PROTO_TCP + len(head) - LEAST + payload
    WORD.pack_into(head, LEAST + 16, fold(pseudo))
    return VNET.pack(NEEDS_CSUM, GSO_TCPV4, len(head), each - len(head), LEAST, 16)
