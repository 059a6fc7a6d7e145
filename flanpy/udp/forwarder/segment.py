"""Cuts what the kernel left whole for a device with segmentation offload (kernel networking/segmentation-offloads.rst).

Each segment is what the kernel's own TCP would have sent: sequence number and IP identification go on, FIN and PSH are
on the last only, CWR on the first only, both checksums are made.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from numpy import arange, empty, frombuffer, uint8, uint16, uint32

from flanpy.udp.forwarder.checksum import Rows, fold, native, row_sums, word_sum
from flanpy.udp.forwarder.packet import CWR, FIN, IP_SUM, PROTO_TCP, PSH, WORD

_SEQ = struct.Struct(">I")
_COUNTING = arange(65536, dtype=uint32)


@dataclass(frozen=True, slots=True)
class Segments:
    """`rows` has the segments of equal size, one behind the other in memory; `last` is a shorter one, or empty."""

    rows: Rows
    last: bytes

    def parts(self, most: int) -> list[list[Rows | bytes]]:
        """Buffers of at most so many segments each, in order; the last segment goes with the rows before it."""
        count = len(self.rows)
        found: list[list[Rows | bytes]] = [[self.rows[at : at + most]] for at in range(0, count, most)]
        if self.last:
            if not found or count % most == 0:
                found.append([])
            found[-1].append(self.last)
        return found


def cut(packet: memoryview, header: int, size: int) -> Segments:
    """`packet` as segments of `header` + `size` bytes each, the last one of what is left.

    `header` is the length of the IPv4 and TCP headers, both of which must be whole; `size` is at least 1.
    """
    full, rest = divmod(len(packet) - header, size)
    head = bytearray(packet[:header])
    text = packet[header : header + full * size]
    equal = _cut_even if not (header + size) & 1 else _cut_odd
    rows = equal(head, text, full, size) if full else empty((0, header + size), uint8)
    if not rest:
        if full:
            _end(rows[-1], head)
        return Segments(rows, b"")
    return Segments(rows, bytes(_one(head, packet[header + full * size :], full, size, ends=True)))


def _cut_even(head: bytearray, text: memoryview, count: int, size: int) -> Rows:
    """All segments at once, as rows of 16-bit words."""
    header, ip = len(head), (head[0] & 15) * 4
    width = header + size
    model = bytearray(head)
    WORD.pack_into(model, 2, width)
    WORD.pack_into(model, IP_SUM, 0)
    WORD.pack_into(model, ip + 16, 0)
    model[ip + 13] &= ~(FIN | PSH | CWR) & 0xFF
    rows = empty((count, width), uint8)
    rows[:, :header] = frombuffer(model, uint8)
    rows[:, header:] = frombuffer(text, uint8).reshape(count, size)
    words, index = rows.view(">u2"), _COUNTING[:count]
    first = WORD.unpack_from(head, 4)[0]
    words[:, 2] = ids = (index + uint32(first)) & uint32(0xFFFF)
    sequence = index * uint32(size) + uint32(_SEQ.unpack_from(head, ip + 4)[0])
    words[:, ip // 2 + 2] = sequence >> uint32(16)
    words[:, ip // 2 + 3] = sequence & uint32(0xFFFF)
    if head[ip + 13] & CWR:
        rows[0, ip + 13] |= CWR
    WORD.pack_into(model, 4, 0)
    words[:, IP_SUM // 2] = 0xFFFF - (ids + uint32(word_sum(model[:ip]))) % 0xFFFF
    pseudo = native(fold(word_sum(head[12:20]) + PROTO_TCP + width - ip))
    plain = rows.view(uint16)
    plain[:, ip // 2 + 8] = 0xFFFF - (row_sums(plain[:, ip // 2 :]) + uint32(pseudo)) % 0xFFFF
    return rows


def _cut_odd(head: bytearray, text: memoryview, count: int, size: int) -> Rows:
    """One segment after the other: words of neighbouring rows would overlap."""
    segments = (
        _one(head, text[number * size : (number + 1) * size], number, size, ends=False)
        for number in range(count)
    )
    return frombuffer(bytearray().join(segments), uint8).reshape(count, len(head) + size)


def _end(row: Rows, head: bytearray) -> None:
    """The last segment bears the flags that end a burst."""
    ip = (head[0] & 15) * 4
    ending = head[ip + 13] & (FIN | PSH)
    if ending:
        last = bytearray(row)
        last[ip + 13] |= ending
        finish_tcp(last, ip)
        row[:] = frombuffer(last, uint8)


def _one(head: bytearray, text: memoryview, before: int, size: int, *, ends: bool) -> bytearray:
    """The segment after `before` others of `size`."""
    ip = (head[0] & 15) * 4
    segment = head + text
    WORD.pack_into(segment, 2, len(segment))
    WORD.pack_into(segment, 4, (WORD.unpack_from(head, 4)[0] + before) & 0xFFFF)
    _SEQ.pack_into(segment, ip + 4, (_SEQ.unpack_from(head, ip + 4)[0] + before * size) & 0xFFFFFFFF)
    segment[ip + 13] &= ~((0 if ends else FIN | PSH) | (CWR if before else 0)) & 0xFF
    finish_tcp(segment, ip)
    return segment


def finish_tcp(packet: bytearray, ip: int) -> None:
    """Make both checksums of a TCP packet; `ip` is the length of its IPv4 header."""
    WORD.pack_into(packet, IP_SUM, 0)
    WORD.pack_into(packet, ip + 16, 0)
    with memoryview(packet) as view:
        WORD.pack_into(packet, IP_SUM, ~word_sum(view[:ip]) & 0xFFFF)
        total = word_sum(view[12:20]) + PROTO_TCP + len(packet) - ip + word_sum(view[ip:])
    WORD.pack_into(packet, ip + 16, ~fold(total) & 0xFFFF)
