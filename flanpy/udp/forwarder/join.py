"""Joins datagrams that came in one bulk, so that the device takes many packets in one write.

Which may be joined, and how, is each protocol's own matter: TCP (`join_tcp`), UDP (`join_udp`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from flanpy.udp.forwarder import bulk, join_tcp, join_udp
from flanpy.udp.forwarder.checksum import word_sum
from flanpy.udp.forwarder.packet import (
    IP_SUM,
    LEAST,
    MORE_FRAGMENTS,
    OFFSET,
    PROTO_TCP,
    PROTO_UDP,
    PROTOCOL,
    WORD,
)

SMALL = 512
"""Bytes of a payload up to which copying all of them costs less than handing each over."""


class Transport(Protocol):
    """One protocol's part, a module."""

    MOST_JOINED: int

    def header(self, packet: memoryview, each: int) -> int:
        """Length of the IPv4 and transport headers of a packet that may be joined with others; 0 if it may not."""

    def breaks(self, text: memoryview, each: int, header: int) -> list[int]:
        """The numbers of packets, of `each` bytes, that do not continue the one before."""

    def continues(self, before: memoryview, tail: memoryview, header: int) -> bool:
        """Is the shorter last one the next of the flow?"""

    def seal(self, head: bytearray, last: memoryview, payload: int, each: int) -> bytes:
        """Make the transport's header fit so much payload. Returns virtio's header."""


TRANSPORTS: dict[int, Transport] = {PROTO_TCP: join_tcp, PROTO_UDP: join_udp}


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

    @property
    def protocol(self) -> int:
        return self.text[PROTOCOL]

    def pieces(self) -> list[bytes | memoryview]:
        """Return the buffers to write: virtio's header, the first segment's headers fitted to all, and the payloads."""
        header, each = self.header, self.each
        payload = self.size - self.count * header
        head = bytearray(self.text[:header])
        WORD.pack_into(head, 2, header + payload)
        WORD.pack_into(head, IP_SUM, 0)
        WORD.pack_into(head, IP_SUM, ~word_sum(head[:LEAST]) & 0xFFFF)
        vnet = TRANSPORTS[self.protocol].seal(head, self.text[(self.count - 1) * each :], payload, each)
        return [vnet + head, *self._payloads()]

    def _payloads(self) -> list[bytes | memoryview]:
        header, each = self.header, self.each
        if each > SMALL or self.size % each:
            return [self.text[at + header : at + each] for at in range(0, self.size, each)]
        return [bulk.chosen.payloads(self.text, each, header)]


def joints(text: memoryview, each: int, *, but: int = 0) -> Iterator[Joint]:
    """All datagrams in `text`, in order, joined where they can be; those of the protocol `but` are not."""
    header = _header(text[:each], each, but)
    whole = len(text) // each
    if not header or whole < 2 or each & 1:
        for at in range(0, len(text), each):
            yield Joint(text[at : at + each], each, 0, 1)
        return
    transport = TRANSPORTS[text[PROTOCOL]]
    starts = _starts(transport.breaks(text[: whole * each], each, header), whole, transport.MOST_JOINED)
    tail = text[whole * each :]
    for start, end in pairwise(starts):
        last = end == whole
        run = text[start * each : end * each]
        goes_on = last and _header(tail, len(tail)) == header and end - start < transport.MOST_JOINED
        if goes_on and transport.continues(run[-each:], tail, header):
            yield Joint(text[start * each :], each, header, end - start + 1)
            return
        yield Joint(run, each, header, end - start)
    if tail:
        yield Joint(tail, len(tail), 0, 1)


def _starts(breaks: list[int], whole: int, most: int) -> list[int]:
    """Return the start of each joint, and the end: joints start after each break and after every `most` segments."""
    return [at for start, end in pairwise([0, *breaks, whole]) for at in range(start, end, most)] + [whole]


def _header(packet: memoryview, each: int, but: int = 0) -> int:
    """Length of the headers of a packet that may be joined with others; 0 if it may not."""
    if len(packet) < max(each, LEAST + 8) or packet[0] != 0x45 or packet[PROTOCOL] == but:
        return 0
    transport = TRANSPORTS.get(packet[PROTOCOL])
    if transport is None:
        return 0
    if WORD.unpack_from(packet, 2)[0] != each or WORD.unpack_from(packet, 6)[0] & (MORE_FRAGMENTS | OFFSET):
        return 0
    return transport.header(packet, each)
