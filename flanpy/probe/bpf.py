"""Classic BPF for sockets that hear only the datagrams by which checksums are checked."""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Iterable
from typing import Final

Line = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant."""

_SO_ATTACH_FILTER: Final = 26
_X_IS_IPV4_HEADER: Final = (0xB1, 0, 0, 0)
_X_IS_0: Final = (0x01, 0, 0, 0)
_KEEP: Final = (0x06, 0, 0, 0xFFFF)
_DROP: Final = (0x06, 0, 0, 0)
HALF, WORD = 0x48, 0x40
"""Loads of two and of four bytes, from behind X."""

Test = tuple[int, int, int]
"""Load, place behind the IP header, wanted value. A load from beyond the packet drops it."""


def attach(sock: socket.socket, tests: Iterable[Test], *, with_header: bool) -> None:
    """Let through what passes all tests; `with_header`: packets begin with an IPv4 header of any length."""
    todo = list(tests)
    lines: list[Line] = [_X_IS_IPV4_HEADER if with_header else _X_IS_0]
    for number, (load, place, value) in enumerate(todo):
        to_drop = 2 * (len(todo) - number - 1) + 1
        lines += [(load, 0, 0, place), (0x15, 0, to_drop, value)]
    lines += [_KEEP, _DROP]
    # The array must live until the kernel has copied it.
    code = array.array("B", b"".join(struct.pack("=HBBI", *line) for line in lines))
    where, size = code.buffer_info()
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", size // 8, where))
