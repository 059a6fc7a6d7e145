"""One TCP segment of several that the kernel left whole, with its own headers and checksums."""

from __future__ import annotations

import struct
from typing import Final

from flanpy.udp.forwarder.checksum import fold, word_sum
from flanpy.udp.forwarder.packet import CWR, FIN, IP_SUM, PROTO_TCP, PSH, WORD

SEQUENCE: Final = struct.Struct(">I")


def segment(head: bytearray, text: memoryview, before: int, size: int, *, ends: bool) -> bytearray:
    """Return the segment of `text` after `before` others of `size` bytes; the last one `ends` the whole."""
    ip = (head[0] & 15) * 4
    made = head + text
    WORD.pack_into(made, 2, len(made))
    WORD.pack_into(made, 4, (WORD.unpack_from(head, 4)[0] + before) & 0xFFFF)
    SEQUENCE.pack_into(made, ip + 4, (SEQUENCE.unpack_from(head, ip + 4)[0] + before * size) & 0xFFFFFFFF)
    made[ip + 13] &= ~((0 if ends else FIN | PSH) | (CWR if before else 0)) & 0xFF
    finish_tcp(made, ip)
    return made


def finish_tcp(packet: bytearray | memoryview, ip: int) -> None:
    """Make both checksums of a TCP packet; `ip` is the length of its IPv4 header."""
    WORD.pack_into(packet, IP_SUM, 0)
    WORD.pack_into(packet, ip + 16, 0)
    with memoryview(packet) as view:
        WORD.pack_into(packet, IP_SUM, ~word_sum(view[:ip]) & 0xFFFF)
        total = word_sum(view[12:20]) + PROTO_TCP + len(packet) - ip + word_sum(view[ip:])
    WORD.pack_into(packet, ip + 16, ~fold(total) & 0xFFFF)
