"""Frames that tell a layer 2 where an address is now. Pure.

A gratuitous ARP (RFC 5227, 2.3: an ARP announcement) and an unsolicited neighbour advertisement (RFC 4861, 7.2.6):
switches and VXLAN devices learn the MAC by its source, hosts the address by what is inside.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flanpy.model.address import IPAddress, Mac

_EVERYBODY: Final = b"\xff" * 6
_ALL_NODES_MAC: Final = bytes.fromhex("333300000001")
_ALL_NODES: Final = IPv6Address("ff02::1")
_ARP, _IPV6 = 0x0806, 0x86DD
_ARP_HEAD: Final = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1)
"""Ethernet and IPv4, a request."""

_ICMPV6, _ADVERTISEMENT, _OVERRIDE = 58, 136, 0x20000000
_HOP_LIMIT: Final = 255
_VNI_IS_VALID: Final = 0x08000000
_TARGET_LINK_ADDRESS: Final = b"\x02\x01"


@dataclass(frozen=True, slots=True)
class Segment:
    """The way to the other members of a network: by VXLAN from the address `local` to the UDP `port` of each."""

    vni: int
    port: int
    local: IPAddress
    members: tuple[IPAddress, ...]


def encapsulated(vni: int, frame: bytes) -> bytes:
    """Return a frame as the content of a VXLAN datagram (RFC 7348, 5)."""
    return struct.pack("!II", _VNI_IS_VALID, vni << 8) + frame


def announcement(mac: Mac, address: IPAddress) -> bytes:
    """Return the Ethernet frame by which the holder of a MAC tells everybody of its address."""
    if isinstance(address, IPv4Address):
        body = _ARP_HEAD + mac.packed + address.packed + bytes(6) + address.packed
        return _EVERYBODY + mac.packed + struct.pack("!H", _ARP) + body
    return _ALL_NODES_MAC + mac.packed + struct.pack("!H", _IPV6) + _advertisement(mac, address)


def _advertisement(mac: Mac, address: IPv6Address) -> bytes:
    body = struct.pack("!I", _OVERRIDE) + address.packed + _TARGET_LINK_ADDRESS + mac.packed
    message = struct.pack("!BBH", _ADVERTISEMENT, 0, 0) + body
    pseudo = address.packed + _ALL_NODES.packed + struct.pack("!II", len(message), _ICMPV6)
    message = struct.pack("!BBH", _ADVERTISEMENT, 0, _checksum(pseudo + message)) + body
    head = struct.pack("!IHBB", 6 << 28, len(message), _ICMPV6, _HOP_LIMIT)
    return head + address.packed + _ALL_NODES.packed + message


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
