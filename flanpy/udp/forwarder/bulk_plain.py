"""Work on packets of one size, one after the other: `bulk.Bulk` without numpy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flanpy.udp.forwarder.checksum import fold, word_sum
from flanpy.udp.forwarder.packet import ACK, DONT_FRAGMENT, LEAST, PROTO_TCP, PROTO_UDP, PSH
from flanpy.udp.forwarder.tcp_segment import segment

LEAST_ALIKE: Final = 1 << 30

_FLAGS: Final = LEAST + 13
_SUM: Final = LEAST + 6
TCP_ALIKE: Final = (0, 1, 2, 3, 6, 7, 8, 9, *range(12, 24), *range(28, 33), 34, 35)
"""Bytes that must be equal: IPv4 but identification and checksum; ports, acknowledgment, offset, window."""

UDP_ALIKE: Final = (0, 1, 2, 3, 6, 7, 8, 9, *range(12, LEAST + 6))
"""The same of UDP: IPv4's, ports and length."""


def tcp_breaks(text: memoryview, each: int, header: int) -> list[int]:
    mask, pseudo, step = _tcp_mask(header), _pseudo(text, each, PROTO_TCP), each - header
    found: list[int] = []
    fields = sequence = -1
    links = False  # the packet before may be followed by another
    for number, at in enumerate(range(0, len(text), each)):
        packet = text[at : at + each]
        own, flags = int.from_bytes(packet[:header], "big") & mask, packet[_FLAGS]
        follows = int.from_bytes(packet[LEAST + 4 : LEAST + 8], "big")
        is_good = _is_good(packet, pseudo)
        linked = links and is_good and own == fields and follows == (sequence + step) & 0xFFFFFFFF
        if number and not (linked and flags | PSH == ACK | PSH):
            found.append(number)
        fields, sequence, links = own, follows, is_good and flags == ACK
    return found


def udp_breaks(text: memoryview, each: int) -> list[int]:
    pseudo = _pseudo(text, each, PROTO_UDP)
    found: list[int] = []
    fields = identification = -1
    links = False
    for number, at in enumerate(range(0, len(text), each)):
        packet = text[at : at + each]
        own = int.from_bytes(packet[: LEAST + 8], "big") & _UDP_MASK
        follows = packet[4] << 8 | packet[5]
        is_good = _is_good(packet, pseudo) and bool(packet[_SUM] or packet[_SUM + 1])
        counts = follows == (identification + 1) & 0xFFFF or packet[6] << 8 | packet[7] == DONT_FRAGMENT
        if number and not (links and is_good and own == fields and counts):
            found.append(number)
        fields, identification, links = own, follows, is_good
    return found


def payloads(text: memoryview, each: int, header: int) -> bytes:
    return b"".join([text[at + header : at + each] for at in range(0, len(text), each)])


def cut(head: bytearray, text: memoryview, count: int, size: int) -> memoryview:
    made = (
        segment(head, text[at : at + size], at // size, size, ends=False)
        for at in range(0, count * size, size)
    )
    return memoryview(bytearray().join(made))


def ready(_text: memoryview, _each: int, _start: int, _field: int) -> memoryview | None:
    return None


def _pseudo(text: memoryview, each: int, protocol: int) -> int:
    return fold(word_sum(text[12:20]) + protocol + each - LEAST)


def _is_good(packet: memoryview, pseudo: int) -> bool:
    """Both checksums at once: where the IPv4 header sums up to nothing, the whole is what the transport's covers."""
    return (word_sum(packet) + pseudo) % 0xFFFF == 0


def _mask(header: int, alike: Iterable[int]) -> int:
    return sum(0xFF << 8 * (header - 1 - at) for at in alike)


def _tcp_mask(header: int) -> int:
    if header not in _TCP_MASKS:
        _TCP_MASKS[header] = _mask(header, (*TCP_ALIKE, *range(LEAST + 20, header)))
    return _TCP_MASKS[header]


_TCP_MASKS: dict[int, int] = {}
_UDP_MASK: Final = _mask(LEAST + 8, UDP_ALIKE)
