"""Joins consecutive segments of one TCP flow, as the kernel's own receive offload does (net/ipv4/tcp_offload.c).

Only what the kernel could cut into the very same segments again is joined: headers alike but for sequence number and
IP identification, equal sizes but for the last, plain ACKs (the last may push). Checksums are verified before, since
the joined packet bears none: what is wrong stays as it is, for its receiver to find.
"""

from __future__ import annotations

from numpy import array, ascontiguousarray, flatnonzero, uint8, uint16, uint32, zeros

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

_SEQUENCE, _FLAGS = (LEAST + 4) // 4, LEAST + 13
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
    wrong = _sums(rows) % 0xFFFF
    heads = ascontiguousarray(rows[:, :header])
    words = heads.view(uint32)
    fields = (words ^ words[0]) & _mask(header)
    sequence = heads.view(">u4")[:, _SEQUENCE].astype(uint32)
    flags = heads[:, _FLAGS]
    step = rows.shape[1] - header
    if not wrong.any() and not fields.any() and _is_one_run(sequence.tolist(), flags.tobytes(), step):
        return []
    good, plain, pushing = wrong == 0, flags == ACK, (flags | PSH) == ACK | PSH
    alike = (fields[1:] == fields[:-1]).all(axis=1) & (sequence[1:] - sequence[:-1] == step)
    linked = alike & plain[:-1] & pushing[1:] & good[:-1] & good[1:]
    return (flatnonzero(~linked) + 1).tolist()


def _sums(rows: Rows) -> Rows:
    """Of both checksums at once: where the IPv4 header sums up to nothing, the whole row is what TCP's covers."""
    pseudo = native(fold(word_sum(rows[0, 12:20].tobytes()) + PROTO_TCP + rows.shape[1] - LEAST))
    return row_sums(rows.view(uint16)) + uint32(pseudo)


def _is_one_run(sequence: list[int], flags: bytes, step: int) -> bool:
    """What nearly all are: without a gap, and only the last may push. Numbers that wrap are looked at more closely."""
    plain = sequence == list(range(sequence[0], sequence[0] + len(sequence) * step, step))
    return plain and flags[-1] | PSH == ACK | PSH and flags.count(ACK, 0, -1) == len(flags) - 1


def _mask(header: int) -> Rows:
    """All bits of the header's words that must be equal."""
    found = _MASKS.get(header)
    if found is None:
        octets = zeros(header, uint8)
        octets[_alike(header)] = 0xFF
        found = _MASKS[header] = octets.view(uint32)
    return found


_MASKS: dict[int, Rows] = {}


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
