"""Takes an address off Docker's default bridge, so that the next dockerd chooses one anew.

Owns two ioctls (netdevice(7)). A dockerd that is told no bip keeps what docker0 has, so without this a rolled-back
daemon.json would leave docker0 on our subnet until the next boot.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

_SIOCGIFADDR, _SIOCSIFADDR = 0x8915, 0x8916
_REQUEST: Final = struct.Struct("=16sHH4s16x")  # ifreq with a sockaddr_in


def release(link: str, address: str) -> None:
    """Remove `address` (as bip has it) from `link` if that is what it has; else, and without the link, nothing."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if _address(sock, link) == IPv4Interface(address).ip:
            fcntl.ioctl(sock, _SIOCSIFADDR, _request(link))


def _address(sock: socket.socket, link: str) -> IPv4Address:
    answer = fcntl.ioctl(sock, _SIOCGIFADDR, _request(link))
    return IPv4Address(_REQUEST.unpack(answer[: _REQUEST.size])[3])


def _request(link: str) -> bytes:
    return _REQUEST.pack(link.encode()[:15], socket.AF_INET, 0, bytes(4))
