"""Frames as a hostile or an honest peer may send them, and what flannel's format says of each, in plain Python.

`accepts` is the oracle of the ingress program: written from the format's description, not from the program.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.tunnel import TunnelRow

LOCAL, PORT, MTU = IPv4Address("10.99.0.1"), 8285, 1472
OWN = IPv4Network("10.50.1.0/24")
PEER = IPv4Address("10.99.0.2")
SLOW_PEER = IPv4Address("10.99.0.3")
OTHER_PEER = IPv4Address("10.99.0.4")
ROWS = (
    TunnelRow(IPv4Network("10.50.2.0/24"), PEER, fast=True),
    TunnelRow(IPv4Network("10.50.2.128/25"), OTHER_PEER, fast=True),
    TunnelRow(IPv4Network("10.50.3.0/24"), SLOW_PEER),
)
_THEIRS, _OURS = IPv4Address("10.50.2.9"), IPv4Address("10.50.1.7")
_ETHERNET = bytes(12) + b"\x08\x00"


def checksum(*parts: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    data = b"".join(parts)
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


@dataclass(frozen=True)
class Packet:
    """An IPv4 packet; lengths and the checksum are right unless given."""

    source: IPv4Address = _THEIRS
    destination: IPv4Address = _OURS
    body: bytes = b"twelve bytes"
    ttl: int = 64
    protocol: int = 17
    tos: int = 0
    ident: int = 1
    fragment: int = 0
    version: int = 0x45
    options: bytes = b""
    length: int | None = None
    bad_checksum: int = 0

    @property
    def bytes(self) -> bytes:
        length = 20 + len(self.options) + len(self.body) if self.length is None else self.length
        head = struct.pack(
            "!BBHHHBBH4s4s", self.version, self.tos, length, self.ident, self.fragment, self.ttl, self.protocol, 0,
            self.source.packed, self.destination.packed,
        ) + self.options  # fmt: skip
        return head[:10] + struct.pack("!H", checksum(head) ^ self.bad_checksum) + head[12:] + self.body


@dataclass(frozen=True)
class Datagram:
    """A frame with one tunnelled packet in it."""

    inner: Packet = field(default_factory=Packet)
    outer: Packet = field(default_factory=lambda: Packet(source=PEER, destination=LOCAL))
    payload: bytes | None = None
    port: int = PORT
    length: int | None = None
    udp_checksum: int = 0
    trailer: bytes = b""
    ethernet: bytes = _ETHERNET

    @property
    def frame(self) -> bytes:
        payload = self.inner.bytes if self.payload is None else self.payload
        length = 8 + len(payload) if self.length is None else self.length
        udp = struct.pack("!HHHH", PORT, self.port, length, self.udp_checksum)
        return self.ethernet + replace(self.outer, body=udp + payload).bytes + self.trailer


def accepts(frame: bytes) -> bool:
    """Report whether the frame is a whole datagram of a fast peer with a whole packet from its subnet to ours."""
    if len(frame) < 14 + 48 or frame[12:14] != b"\x08\x00" or frame[:6] != bytes(6):
        return False
    outer, inner = frame[14:], frame[14 + 28 :]
    length, fragment, port = _u16(outer, 2), _u16(outer, 6), _u16(outer, 22)
    inner_length = _u16(inner, 2)
    own = IPv4Address(inner[16:20]) in OWN
    outer_right = outer[0] == 0x45 and outer[9] == 17 and checksum(outer[:20]) == 0 and not fragment & 0xBFFF
    ours = IPv4Address(outer[16:20]) == LOCAL and port == PORT
    lengths = inner_length >= 20 and length == inner_length + 28 == _u16(outer, 24) + 20 <= len(outer)
    inner_right = inner[0] >> 4 == 4 and inner[0] & 15 >= 5 and inner[8] > 1 and inner_length <= MTU
    markable = outer[1] & 3 != 3 or inner[1] & 3 != 0
    return outer_right and ours and lengths and inner_right and own and markable and _owns(outer, inner)


def _owns(outer: bytes, inner: bytes) -> bool:
    source = IPv4Address(inner[12:16])
    holding = sorted((row for row in ROWS if source in row.subnet), key=lambda row: row.subnet.prefixlen)
    return bool(holding) and holding[-1].fast and holding[-1].peer == IPv4Address(outer[12:16])


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")
