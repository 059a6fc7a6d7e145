"""MTUs of the ports of a bridge: what its containers were given when they started, which Docker's API does not tell.

Owns one RTM_GETLINK dump (rtnetlink(7)), in the network namespace of the calling process; needs no privilege.
/sys/class/net would tell the same, but of the namespace in which somebody mounted it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from flanpy.errors import KernelError
from flanpy.netlink.blocking import BlockingSocket
from flanpy.netlink.framing import attributes, number, text

_GETLINK, _NEWLINK = 18, 16
_IFNAME, _MTU, _MASTER = 3, 4, 10
_LINK: Final = struct.Struct("=BBHiII")
_DEADLINE_S: Final = 2.0

Link = tuple[int, str, int, int]
"""Index, name, MTU in bytes, index of the bridge it is a port of (0: none)."""


def over_mtu(bridge: str, mtu: int) -> tuple[str, ...]:
    """Return the ports of `bridge` that take packets of more than `mtu` bytes; () where that cannot be known."""
    with suppress(KernelError):
        links = list(_links())
        index = next((index for index, name, _, _ in links if name == bridge), 0)
        return tuple(
            sorted(name for _, name, size, master in links if index and master == index and size > mtu)
        )
    return ()


def _links() -> Iterator[Link]:
    netlink = BlockingSocket(socket.NETLINK_ROUTE, deadline_s=_DEADLINE_S)
    try:
        answers = netlink.dump(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0))
    finally:
        netlink.close()
    for answer in answers:
        if answer.kind == _NEWLINK and len(answer.body) >= _LINK.size:
            yield _link(answer.body)


def _link(body: bytes) -> Link:
    found = attributes(body, _LINK.size, len(body))
    index = _LINK.unpack_from(body)[3]
    return index, text(found.get(_IFNAME, b"")), number(found.get(_MTU, b"")), number(found.get(_MASTER, b""))
