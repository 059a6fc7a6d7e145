"""Joins consecutive segments of one TCP flow, as the kernel's own receive offload does (net/ipv4/tcp_offload.c).

Only what the kernel could cut into the very same segments again is joined: headers alike but for sequence number and
IP identification, equal sizes but for the last, plain ACKs (the last may push). Checksums are verified before, since
the joined packet bears none: what is wrong stays as it is, for its receiver to find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from numpy import array, flatnonzero, frombuffer, uint8, uint16, uint32

from flanpy.udp.forwarder.checksum import Rows, fold, native, row_sums, word_sum
from flanpy.udp.forwarder.packet import (
    ACK,
    GSO_TCPV4,
    IP_SUM,
    LEAST,
    MORE_FRAGMENTS,
    NEEDS_CSUM,
    OFFSET,
    PROTO_TCP,
    PSH,
    VNET,
    WORD,
)

_FLAGS = LEAST + 13
_LENGTH = (2, 3)
_ALIKE = [0, 1, 2, 3, 6, 7, 8, 9, *range(12, 24), *range(28, 33), 34, 35]
"""Bytes that must be equal: IPv4 but identification and checksum; ports, acknowledgment, offset, window."""


@dataclass(frozen=True, slots=True)
class Joint:
    """`count` datagrams of `each` bytes, the last one maybe shorter, that may be written as one; 1: as it is."""

    text: memoryview
    each: int
    header: int
    count: int

    @property
    def size(self) -> int:
        return len(self.text)

    @property
    def first(self) -> memoryview:
        return self.text[: self.each]

    def pieces(self) -> list[bytes | memoryview]:
        """What is written: virtio's header, the first segment's headers made to fit all, and the payloads."""
        header, each = self.header, self.each
        payload = self.size - self.count * header
        head = bytearray(self.text[:header])
        WORD.pack_into(head, 2, header + payload)
        WORD.pack_into(head, IP_SUM, 0)
        WORD.pack_into(head, IP_SUM, ~word_sum(head[:LEAST]) & 0xFFFF)
        head[_FLAGS] = self.text[(self.count - 1) * each + _FLAGS]
        pseudo = word_sum(head[12:20]) + PROTO_TCP + header - LEAST + payload
        WORD.pack_into(head, LEAST + 16, fold(pseudo))
        vnet = VNET.pack(NEEDS_CSUM, GSO_TCPV4, header, each - header, LEAST, 16)
        payloads = [self.text[at + header : at + each] for at in range(0, self.size, each)]
        return [vnet + head, *payloads]


def joints(text: memoryview, each: int) -> Iterator[Joint]:
    """All datagrams in `text`, in order, joined where they can be."""
    header = _header(text[:each], each)
    whole = len(text) // each
    if not header or whole < 2 or each & 1:
        for at in range(0, len(text), each):
            yield Joint(text[at : at + each], each, 0, 1)
        return
    rows = frombuffer(text[: whole * each], uint8).reshape(whole, each)
    starts = [0, *_breaks(rows, header), whole]
    tail = text[whole * each :]
    for start, end in pairwise(starts):
        last = end == whole
        run = text[start * each : end * each]
        if last and tail and _continues(run[-each:], tail, header):
            yield Joint(text[start * each :], each, header, end - start + 1)
            return
        yield Joint(run, each, header, end - start)
    if tail:
        yield Joint(tail, len(tail), 0, 1)


def _header(packet: memoryview, each: int) -> int:
    """Length of the headers of a TCP segment that may be joined with others; 0 if it may not."""
    if len(packet) < max(each, LEAST + 20) or packet[0] != 0x45 or packet[9] != PROTO_TCP:
        return 0
    if WORD.unpack_from(packet, 2)[0] != each or WORD.unpack_from(packet, 6)[0] & (MORE_FRAGMENTS | OFFSET):
        return 0
    header = LEAST + (packet[LEAST + 12] >> 4) * 4
    return header if LEAST + 20 <= header < each else 0


def _breaks(rows: Rows, header: int) -> list[int]:
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


def _continues(before: memoryview, tail: memoryview, header: int) -> bool:
    """Is the shorter last datagram the next segment of the flow?"""
    if len(tail) <= header or _header(tail, len(tail)) != header or before[_FLAGS] != ACK:
        return False
    if tail[_FLAGS] | PSH != ACK | PSH or any(
        tail[at] != before[at] for at in _alike(header) if at not in _LENGTH
    ):
        return False
    sequence = int.from_bytes(before[LEAST + 4 : LEAST + 8], "big") + len(before) - header
    if int.from_bytes(tail[LEAST + 4 : LEAST + 8], "big") != sequence & 0xFFFFFFFF:
        return False
    total = word_sum(tail[12:20]) + PROTO_TCP + len(tail) - LEAST + word_sum(tail[LEAST:])
    return fold(total) == 0xFFFF and word_sum(tail[:LEAST]) == 0xFFFF
