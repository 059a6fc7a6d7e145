#!/usr/bin/env python3
"""`plain.py TUN LOCAL PORT SUBNET/LENGTH=PEER...`: what proxy.c does, in Python, where there is no compiler.

It must do no more than that: it is the peer that reads one packet from each datagram, and checks nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
import selectors
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

LONGEST = 65535
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_TTL, _SUM, _SOURCE, _TARGET = 8, slice(10, 12), slice(12, 16), slice(16, 20)

Routes = Sequence[tuple[int, int, str]]
"""Network, mask and peer, in the order in which they are tried."""


def checksum(text: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{(len(text) + 1) // 2}H", text + bytes(len(text) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read_routes(words: Sequence[str]) -> Routes:
    routes = []
    for word in words:
        subnet, _, peer = word.partition("=")
        base, _, length = subnet.partition("/")
        mask = (0xFFFFFFFF << (32 - int(length))) & 0xFFFFFFFF
        routes.append((_number(socket.inet_aton(base)) & mask, mask, peer))
    return routes


def find(routes: Routes, address: bytes) -> str | None:
    wanted = _number(address)
    return next((peer for base, mask, peer in routes if wanted & mask == base), None)


def aged(packet: bytes) -> bytes | None:
    """One hop further; None for what is not to be forwarded. A wrong checksum stays wrong (RFC 1624)."""
    if len(packet) < 20 or packet[0] >> 4 != 4 or packet[_TTL] <= 1:
        return None
    total = int.from_bytes(packet[_SUM], "big") + 0x0100
    new = bytearray(packet)
    new[_TTL] -= 1
    new[_SUM] = ((total & 0xFFFF) + (total >> 16)).to_bytes(2, "big")
    return bytes(new)


def unreachable(packet: bytes, own: bytes) -> bytes:
    """ICMP net unreachable to the sender."""
    quoted = packet[:28]
    icmp = struct.pack("!BBHI", 3, 0, 0, 0) + quoted
    icmp = icmp[:2] + checksum(icmp).to_bytes(2, "big") + icmp[4:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 8, 1, 0) + own + packet[_SOURCE]
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + icmp


def _number(address: bytes) -> int:
    return int.from_bytes(address, "big")


def forward(tun: int, sock: socket.socket, routes: Routes, own: bytes) -> None:
    """Forward packets without end."""
    port = sock.getsockname()[1]
    with selectors.DefaultSelector() as ends:
        ends.register(tun, selectors.EVENT_READ)
        ends.register(sock, selectors.EVENT_READ)
        while True:
            for key, _ in ends.select():
                if key.fileobj is sock:
                    _inwards(tun, sock)
                else:
                    _outwards(tun, sock, (routes, own, port))


def _outwards(tun: int, sock: socket.socket, known: tuple[Routes, bytes, int]) -> None:
    routes, own, port = known
    packet = os.read(tun, LONGEST)
    if len(packet) < 20 or packet[0] >> 4 != 4:
        return
    peer = find(routes, packet[_TARGET])
    if peer is None:
        _write(tun, unreachable(packet, own))
    elif (older := aged(packet)) is not None:
        with suppress(OSError):  # too long for the underlay, or nobody there
            sock.sendto(older, (peer, port))


def _inwards(tun: int, sock: socket.socket) -> None:
    with suppress(ConnectionError):  # nobody listened to what we sent
        packet = aged(sock.recv(LONGEST))
        if packet is not None:
            _write(tun, packet)


def _write(tun: int, packet: bytes) -> None:
    try:
        os.write(tun, packet)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EIO):  # no packet at all, or the device is down
            raise


def main() -> None:
    link, local, port = sys.argv[1:4]
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH22x", link.encode(), _IFF_TUN | _IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((local, int(port)))
        forward(tun, sock, read_routes(sys.argv[4:]), socket.inet_aton(local))


if __name__ == "__main__":
    main()
