"""The local addresses of this process's connections to etcd: read from its sockets, as grpc does not report them."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from flanpy.model.address import IPAddress

_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})


def local_ends(ports: Collection[int]) -> frozenset[IPAddress]:
    """Of all TCP connections to these ports, also of those that are only being made."""
    return frozenset(end for descriptor in _descriptors() for end in _end(descriptor, ports))


def _descriptors() -> list[int]:
    try:
        return [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    except OSError:  # none is left to read them with
        return []


def _end(descriptor: int, ports: Collection[int]) -> Iterator[IPAddress]:
    with suppress(OSError):  # no socket, or closed meanwhile
        sock = socket.socket(fileno=descriptor)
        try:
            if sock.family in _FAMILIES and sock.type == socket.SOCK_STREAM and _goes_to(sock, ports):
                yield _plain(sock.getsockname()[0])
        finally:
            sock.detach()  # it is grpc's


def _goes_to(sock: socket.socket, ports: Collection[int]) -> bool:
    try:
        return sock.getpeername()[1] in ports
    except OSError:  # not connected yet, or listens
        return not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def _plain(text: str) -> IPAddress:
    address = ip_address(text.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
