"""Work on packets of one size, all at once: `bulk.Bulk` with numpy. The only module that needs it.

A device is read packet by packet; all else - the comparison, the TTL, the checksums - costs the same for sixty-four
equal ones as for one.
"""

from __future__ import annotations

from typing import Any, Final

from numpy import (
    add,
    arange,
    array,
    ascontiguousarray,
    empty,
    flatnonzero,
    frombuffer,
    intp,
    uint8,
    uint16,
    uint32,
    zeros,
)

from flanpy.udp.forwarder import bulk_plain
from flanpy.udp.forwarder.bulk_plain import TCP_ALIKE, UDP_ALIKE
from flanpy.udp.forwarder.checksum import fold, native, word_sum
from flanpy.udp.forwarder.packet import (
    ACK,
    CWR,
    DONT_FRAGMENT,
    FIN,
    IP_SUM,
    LEAST,
    NEEDS_CSUM,
    PROTO_TCP,
    PROTO_UDP,
    PSH,
    TTL,
    VNET,
    WORD,
)
from flanpy.udp.forwarder.tcp_segment import SEQUENCE

Rows = Any
"""An array of two dimensions, a packet a row; of one where sums come out."""

LEAST_ALIKE: Final = 6
"""Packets from which on numpy's fixed costs pay."""

_COUNTING: Final = arange(65536, dtype=uint32)
_UDP_COLUMNS: Final = array(UDP_ALIKE, intp)
_HEADER: Final = VNET.size
_READ_ALIKE: Final = array(
    [*range(_HEADER), *(_HEADER + at for at in (0, 1, 2, 3, 6, 7, 8, 9, 16, 17, 18, 19))], intp
)
"""virtio's header; IPv4's but for identification, checksum and source."""


def tcp_breaks(text: memoryview, each: int, header: int) -> list[int]:
    rows = _rows(text, each)
    wrong = _sums(rows, PROTO_TCP) % 0xFFFF
    heads = ascontiguousarray(rows[:, :header])
    words = heads.view(uint32)
    fields = (words ^ words[0]) & _mask(header)
    sequence = heads.view(">u4")[:, (LEAST + 4) // 4].astype(uint32)
    flags = heads[:, LEAST + 13]
    step = each - header
    if not wrong.any() and not fields.any() and _is_one_run(sequence.tolist(), flags.tobytes(), step):
        return []
    good, plain, pushing = wrong == 0, flags == ACK, (flags | PSH) == ACK | PSH
    alike = (fields[1:] == fields[:-1]).all(axis=1) & (sequence[1:] - sequence[:-1] == step)
    linked = alike & plain[:-1] & pushing[1:] & good[:-1] & good[1:]
    return (flatnonzero(~linked) + 1).tolist()


def udp_breaks(text: memoryview, each: int) -> list[int]:
    rows = _rows(text, each)
    fields = rows[:, _UDP_COLUMNS]
    words = rows.view(">u2")
    # A sum of 0 says that there is none.
    good = (_sums(rows, PROTO_UDP) % 0xFFFF == 0) & (words[:, (LEAST + 6) // 2] != 0)
    numbers = words[:, 2].astype(uint16)
    counting = (numbers[1:] - numbers[:-1] == 1) | (words[1:, 3] == DONT_FRAGMENT)
    if good.all() and counting.all() and (fields == fields[0]).all():
        return []
    linked = (fields[1:] == fields[:-1]).all(axis=1) & counting & good[:-1] & good[1:]
    return (flatnonzero(~linked) + 1).tolist()


def payloads(text: memoryview, each: int, header: int) -> bytes:
    return bytes(_rows(text, each)[:, header:].tobytes())


def cut(head: bytearray, text: memoryview, count: int, size: int) -> memoryview:
    header, ip = len(head), (head[0] & 15) * 4
    width = header + size
    if width & 1:  # words of neighbouring rows would overlap
        return bulk_plain.cut(head, text, count, size)
    model = bytearray(head)
    WORD.pack_into(model, 2, width)
    WORD.pack_into(model, 4, 0)
    WORD.pack_into(model, IP_SUM, 0)
    WORD.pack_into(model, ip + 16, 0)
    model[ip + 13] &= ~(FIN | PSH | CWR) & 0xFF
    rows: Rows = empty((count, width), uint8)
    rows[:, :header] = frombuffer(model, uint8)
    rows[:, header:] = frombuffer(text, uint8).reshape(count, size)
    _number(rows, head, ip, size)
    if head[ip + 13] & CWR:
        rows[0, ip + 13] |= CWR
    _seal(rows, head, ip, word_sum(model[:ip]))
    return memoryview(rows).cast("B")


def _number(rows: Rows, head: bytearray, ip: int, size: int) -> None:
    """Give each segment its IP identification and its sequence number."""
    words, index = rows.view(">u2"), _COUNTING[: len(rows)]
    words[:, 2] = (index + uint32(WORD.unpack_from(head, 4)[0])) & uint32(0xFFFF)
    sequence = index * uint32(size) + uint32(SEQUENCE.unpack_from(head, ip + 4)[0])
    words[:, ip // 2 + 2] = sequence >> uint32(16)
    words[:, ip // 2 + 3] = sequence & uint32(0xFFFF)


def _seal(rows: Rows, head: bytearray, ip: int, model: int) -> None:
    """Make both checksums of each segment; `model` is the sum of an IPv4 header without identification.

    Of the two zeros of ones' complement they take the one that a sum of what is not all zero leads to (RFC 1071).
    """
    words, plain = rows.view(">u2"), rows.view(uint16)
    words[:, IP_SUM // 2] = (0xFFFF - (words[:, 2].astype(uint32) + uint32(model)) % 0xFFFF) % 0xFFFF
    pseudo = native(fold(word_sum(head[12:20]) + PROTO_TCP + rows.shape[1] - ip))
    plain[:, ip // 2 + 8] = (0xFFFF - (_row_sums(plain[:, ip // 2 :]) + uint32(pseudo)) % 0xFFFF) % 0xFFFF


def ready(text: memoryview, each: int, start: int, field: int) -> memoryview | None:
    rows = _rows(text, each)
    fields = rows[:, _READ_ALIKE]
    return _made(rows, start, field) if (fields == fields[0]).all() else None


def _made(rows: Rows, start: int, field: int) -> memoryview | None:
    """Take one off each TTL and make the checksums; None: malformed.

    `start` and `field` say where virtio's header wants a checksum made; the field holds the pseudo header's sum.
    """
    count, size = rows.shape[0], rows.shape[1] - _HEADER
    packets: Rows = zeros((count, size + (size & 1)), uint8)
    packets[:, :size] = rows[:, _HEADER:]
    words = packets.view(">u2")
    packets[:, TTL] -= 1
    # RFC 1141: the word of the TTL lost as much
    total = words[:, IP_SUM // 2].astype(uint32) + uint32(0x0100)
    words[:, IP_SUM // 2] = total + (total >= 0xFFFF)
    if rows[0, 0] & NEEDS_CSUM:
        at = start + field
        if start < LEAST or start & 1 or field & 1 or at + 2 > size:
            return None
        sums = add.reduce(packets.view(uint16)[:, start // 2 :], axis=1, dtype=uint32)
        packets.view(uint16)[:, at // 2] = 0xFFFF - sums % 0xFFFF  # never 0, which in UDP would say: none
    return memoryview(packets).cast("B") if not size & 1 else memoryview(packets[:, :size].tobytes())


def _rows(text: memoryview, each: int) -> Rows:
    return frombuffer(text, uint8).reshape(-1, each)


def _row_sums(words: Rows) -> Rows:
    """The sum of each row of 16-bit words in native order; not folded: take it modulo 0xFFFF."""
    return add.reduce(words, axis=1, dtype=uint32)


def _sums(rows: Rows, protocol: int) -> Rows:
    """Of both checksums at once: where the IPv4 header sums up to nothing, the whole row is what the other's covers."""
    pseudo = native(fold(word_sum(rows[0, 12:20].tobytes()) + protocol + rows.shape[1] - LEAST))
    return _row_sums(rows.view(uint16)) + uint32(pseudo)


def _is_one_run(sequence: list[int], flags: bytes, step: int) -> bool:
    """Report whether the segments have no gap and only the last may push, as nearly all runs do.

    Returns False for sequence numbers that wrap; the caller then compares segment by segment.
    """
    plain = sequence == list(range(sequence[0], sequence[0] + len(sequence) * step, step))
    return plain and flags[-1] | PSH == ACK | PSH and flags.count(ACK, 0, -1) == len(flags) - 1


def _mask(header: int) -> Rows:
    """All bits of the header's words that must be equal."""
    found = _MASKS.get(header)
    if found is None:
        octets = zeros(header, uint8)
        octets[[*TCP_ALIKE, *range(LEAST + 20, header)]] = 0xFF
        found = _MASKS[header] = octets.view(uint32)
    return found


_MASKS: dict[int, Rows] = {}
