"""Small packets of one flow, read one behind the other, made ready all at once.

A device is read packet by packet; all else - the comparison, the TTL, the checksums - costs the same for sixty-four
equal ones as for one.
"""

from __future__ import annotations

from numpy import add, array, frombuffer, intp, uint8, uint16, uint32, zeros

from flanpy.udp.forwarder.checksum import Rows
from flanpy.udp.forwarder.packet import IP_SUM, NEEDS_CSUM, TTL, VNET

LEAST_ALIKE = 6
"""Packets from which on numpy's fixed costs pay."""

_HEADER = VNET.size
_ALIKE = array([*range(_HEADER), *(_HEADER + at for at in (0, 1, 2, 3, 6, 7, 8, 9, 16, 17, 18, 19))], intp)
"""virtio's header; IPv4's but for identification, checksum and source."""


def alike(text: memoryview, size: int) -> Rows | None:
    """The packets in `text`, `size` bytes each with virtio's header, as rows if all are to be treated alike."""
    rows = frombuffer(text, uint8).reshape(-1, size)
    fields = rows[:, _ALIKE]
    return rows if (fields == fields[0]).all() else None


def ready(rows: Rows, start: int, field: int) -> memoryview | None:
    """The packets of `alike` rows as they leave, one behind the other: TTL one less, checksums made. None: malformed.

    `start` and `field` say where virtio's header wants a checksum made; the field holds the pseudo header's sum.
    """
    count, size = rows.shape[0], rows.shape[1] - _HEADER
    packets: Rows = zeros((count, size + (size & 1)), uint8)
    packets[:, :size] = rows[:, _HEADER:]
    words = packets.view(">u2")
    packets[:, TTL] -= 1
    total = words[:, IP_SUM // 2].astype(uint32) + uint32(
        0x0100
    )  # RFC 1141: the word of the TTL lost as much
    words[:, IP_SUM // 2] = total + (total >= 0xFFFF)
    if rows[0, 0] & NEEDS_CSUM:
        at = start + field
        if start & 1 or field & 1 or at + 2 > size:
            return None
        sums = add.reduce(packets.view(uint16)[:, start // 2 :], axis=1, dtype=uint32)
        packets.view(uint16)[:, at // 2] = 0xFFFF - sums % 0xFFFF  # never 0, which in UDP would say: none
    return memoryview(packets).cast("B") if not size & 1 else memoryview(packets[:, :size].tobytes())
