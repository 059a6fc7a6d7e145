"""MTUs of the ports of a bridge: what its containers were given when they started, which Docker's API does not tell.

Owns one RTM_GETLINK dump (rtnetlink(7)), in the network namespace of the calling process; needs no privilege.
/sys/class/net would tell the same, but of the namespace in which somebody mounted it.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

_RTM_GETLINK, _RTM_NEWLINK, _NLMSG_ERROR, _NLMSG_DONE = 18, 16, 2, 3
_NLM_F_REQUEST_DUMP: Final = 0x301
_IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER = 3, 4, 10
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BBHiII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_U32: Final = struct.Struct("=I")
_DEADLINE_S: Final = 2.0

Link = tuple[int, str, int, int]
"""Index, name, MTU in bytes, index of the bridge it is a port of (0: none)."""


def over_mtu(bridge: str, mtu: int) -> tuple[str, ...]:
    """Ports of `bridge` that take packets of more than `mtu` bytes; () also where that cannot be known."""
    with suppress(OSError, struct.error):
        links = list(_links())
        index = next((index for index, name, _, _ in links if name == bridge), 0)
        return tuple(
            sorted(name for _, name, size, master in links if index and master == index and size > mtu)
        )
    return ()


def _links() -> Iterator[Link]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as sock:
        sock.settimeout(_DEADLINE_S)
        sock.bind((0, 0))
        request = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0, 0)
        sock.send(
            _HEADER.pack(_HEADER.size + len(request), _RTM_GETLINK, _NLM_F_REQUEST_DUMP, 1, 0) + request
        )
        while True:
            for kind, body in _messages(sock.recv(1 << 17)):
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    raise OSError(number, os.strerror(number))
                if kind == _RTM_NEWLINK:
                    yield _link(body)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]


def _link(body: bytes) -> Link:
    index = _LINK.unpack_from(body)[3]
    found = dict(_attributes(body[_LINK.size :]))
    name = found.get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
    return index, name, _number(found.get(_IFLA_MTU)), _number(found.get(_IFLA_MASTER))


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def _number(data: bytes | None) -> int:
    return int(_U32.unpack(data)[0]) if data else 0
