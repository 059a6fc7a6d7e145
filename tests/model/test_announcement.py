"""Frames that announce an address, as others read them."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address

from flanpy.model.address import Mac
from flanpy.model.networks.announcement import announcement, encapsulated

MAC = Mac.parse("02:42:0a:60:03:02")


def test_ipv4_address_is_told_by_a_gratuitous_arp() -> None:
    frame = announcement(MAC, IPv4Address("10.96.3.2"))
    assert frame[:14].hex() == "ffffffffffff" + "02420a600302" + "0806"
    hardware, protocol, sizes, operation = struct.unpack("!HHHH", frame[14:22])
    assert (hardware, protocol, sizes, operation) == (1, 0x0800, 0x0604, 1)
    assert frame[22:28] == MAC.packed
    assert frame[28:32] == frame[38:42] == IPv4Address("10.96.3.2").packed


def test_frame_travels_in_a_vxlan_datagram() -> None:
    assert encapsulated(10_001, b"frame").hex() == "08000000" + "00271100" + b"frame".hex()


def test_ipv6_address_is_told_by_an_unsolicited_advertisement_with_a_good_checksum() -> None:
    address = IPv6Address("fd00:96::302")
    frame = announcement(MAC, address)
    assert frame[:14].hex() == "333300000001" + "02420a600302" + "86dd"
    length, following, hops = struct.unpack("!HBB", frame[18:22])
    assert (length, following, hops) == (32, 58, 255)
    assert (frame[22:38], frame[38:54]) == (address.packed, IPv6Address("ff02::1").packed)
    assert (frame[54], frame[58], frame[62:78], frame[80:86]) == (136, 0x20, address.packed, MAC.packed)
    words = struct.unpack("!36H", frame[22:54] + struct.pack("!II", length, following) + frame[54:])
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
