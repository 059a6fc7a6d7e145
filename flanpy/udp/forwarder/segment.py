"""Cuts what the kernel left whole for a device with segmentation offload (kernel networking/segmentation-offloads.rst).

Each segment is what the kernel's own TCP would have sent: sequence number and IP identification go on, FIN and PSH are
on the last only, CWR on the first only, both checksums are made.
"""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.udp.forwarder import bulk
from flanpy.udp.forwarder.packet import FIN, PSH
from flanpy.udp.forwarder.tcp_segment import finish_tcp, segment


@dataclass(frozen=True, slots=True)
class Segments:
    """`text` has the segments of `each` bytes, one behind the other; `last` is a shorter one, or empty."""

    text: memoryview
    each: int
    last: bytes

    def parts(self, most: int) -> list[list[memoryview | bytes]]:
        """Buffers of at most so many segments each, in order; the last segment goes with those before it."""
        size, step = len(self.text), most * self.each
        found: list[list[memoryview | bytes]] = [[self.text[at : at + step]] for at in range(0, size, step)]
        if self.last:
            if not found or size % step == 0:
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
    made, each = bulk.chosen.cut(head, text, full, size) if full else memoryview(b""), header + size
    if not rest:
        if full:
            _end(made[-each:], head)
        return Segments(made, each, b"")
    return Segments(made, each, bytes(segment(head, packet[header + full * size :], full, size, ends=True)))


def _end(last: memoryview, head: bytearray) -> None:
    """Give the last segment the flags that end a burst."""
    ip = (head[0] & 15) * 4
    ending = head[ip + 13] & (FIN | PSH)
    if ending:
        last[ip + 13] |= ending
        finish_tcp(last, ip)
