"""Work on many packets of one size at once, with numpy where it is installed, else packet by packet.

Both modules give the same bytes; `chosen` is the one in use. numpy is an extra of the package (`flanpy[udp-bulk]`).
"""

from __future__ import annotations

from typing import Protocol

from flanpy.udp.forwarder import bulk_plain


class Bulk(Protocol):
    """`text` holds packets of `each` bytes, one behind the other; `header` is the length of the headers of each."""

    LEAST_ALIKE: int
    """Packets from which on `ready` pays; more than can be read at once: never."""

    def tcp_breaks(self, text: memoryview, each: int, header: int) -> list[int]:
        """Return the numbers of TCP segments that do not continue the one before."""

    def udp_breaks(self, text: memoryview, each: int) -> list[int]:
        """Return the numbers of UDP datagrams that do not continue the one before."""

    def payloads(self, text: memoryview, each: int, header: int) -> bytes:
        """Return what follows the headers, of all packets."""

    def cut(self, head: bytearray, text: memoryview, count: int, size: int) -> memoryview:
        """Return `count` TCP segments of `size` bytes of `text` each; `head` has the headers of the whole."""

    def ready(self, text: memoryview, each: int, start: int, field: int) -> memoryview | None:
        """Return packets read from the device, with virtio's header, as they leave; None: handle them one by one."""


def _choose() -> Bulk:
    try:
        from flanpy.udp.forwarder import bulk_numpy  # noqa: PLC0415, it may be missing
    except ImportError:  # also one that was made for another CPU or Python
        return bulk_plain
    return bulk_numpy


chosen: Bulk = _choose()
