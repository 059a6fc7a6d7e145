"""The small parts: look-up, table on the wire, ICMP, checksums."""

from __future__ import annotations

import os
import struct
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.tunnel import TunnelRow, TunnelTable
from flanpy.udp.forwarder import icmp
from flanpy.udp.forwarder.checksum import changed, checksum, ttl_less
from flanpy.udp.forwarder.lookup import MOST_REMEMBERED, Lookup
from flanpy.udp.forwarder.wire_table import decode, encode, from_memfd, to_memfd

OWN = IPv4Network("10.50.1.0/24")


def table(*rows: tuple[str, str]) -> TunnelTable:
    found = tuple(TunnelRow(IPv4Network(subnet), IPv4Address(peer)) for subnet, peer in rows)
    return TunnelTable(IPv4Address("10.99.0.1"), 8285, 1472, OWN, found)


def number(address: str) -> int:
    return int(IPv4Address(address))


def test_longest_prefix_decides_whose_a_packet_is() -> None:
    lookup = Lookup(
        table(("10.50.0.0/16", "10.99.0.2"), ("10.50.3.0/24", "10.99.0.3"), ("10.50.3.7/32", "10.99.0.4"))
    )

    assert lookup.way_to(number("10.50.9.1")) == ("10.99.0.2", 8285)
    assert lookup.way_to(number("10.50.3.1")) == ("10.99.0.3", 8285)
    assert lookup.peer_of(number("10.50.3.7")) == "10.99.0.4"
    assert lookup.peer_of(number("10.50.1.1")) == ""
    assert lookup.way_to(number("10.50.1.1")) is None
    assert lookup.peer_of(number("10.51.0.1")) is None
    assert lookup.way_to(number("10.51.0.1")) is None


def test_what_is_remembered_of_strangers_is_bounded() -> None:
    lookup = Lookup(table(("10.50.0.0/16", "10.99.0.2")))
    for address in range(MOST_REMEMBERED + 10):
        lookup.peer_of(address)
        lookup.way_to(address)
    assert len(lookup._sources) <= MOST_REMEMBERED
    assert len(lookup._destinations) <= MOST_REMEMBERED


def test_table_survives_the_wire() -> None:
    whole = table(*((f"10.{n // 256}.{n % 256}.0/24", f"10.99.{n // 256}.{n % 256}") for n in range(5000)))
    assert from_memfd(to_memfd(whole)) == whole


def test_sealed_table_cannot_be_changed() -> None:
    descriptor = to_memfd(table())
    try:
        with pytest.raises(PermissionError):
            os.pwrite(descriptor, b"x", 0)
    finally:
        os.close(descriptor)


def test_unsealed_table_is_refused() -> None:
    descriptor = os.memfd_create("open", os.MFD_ALLOW_SEALING)
    os.write(descriptor, encode(table()))
    with pytest.raises(ValueError, match="not sealed"):
        from_memfd(descriptor)


@given(st.binary(max_size=80))
def test_anything_but_a_table_is_refused(text: bytes) -> None:
    whole = encode(table(("10.50.2.0/24", "10.99.0.2")))
    for wrong in (text, whole[:-1], whole + b"x"):
        try:
            decode(wrong)
        except ValueError:
            continue
        assert encode(decode(wrong)) == wrong


def test_broken_prefix_in_a_table_is_refused() -> None:
    whole = bytearray(encode(table(("10.50.2.0/24", "10.99.0.2"))))
    whole[-6] = 77
    with pytest.raises(ValueError, match="77"):
        decode(bytes(whole))


@given(st.binary(min_size=20, max_size=60), st.integers(0, 0xFFFF))
def test_checksum_follows_a_change_of_one_word(text: bytes, word: int) -> None:
    before = checksum(b"\1" + text)
    _first, rest = (b"\1" + text)[:2], (b"\1" + text)[2:]
    after = changed(before, int.from_bytes(_first, "big"), word)
    assert after % 0xFFFF == checksum(word.to_bytes(2, "big") + rest) % 0xFFFF


@given(st.integers(2, 255), st.binary(min_size=18, max_size=18))
def test_header_stays_valid_when_its_ttl_is_one_less(ttl: int, rest: bytes) -> None:
    header = bytearray(struct.pack(">BB", ttl, 6) + rest)
    total = checksum(header)
    header[0] -= 1
    assert ttl_less(total) % 0xFFFF == checksum(header) % 0xFFFF


def packet(
    source: str = "10.50.1.5", *, protocol: int = 17, offset: int = 0, body: bytes = bytes(20)
) -> bytes:
    addresses = IPv4Address(source).packed + IPv4Address("10.50.9.9").packed
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, offset, 64, protocol, 0) + addresses + body


def test_icmp_error_quotes_the_packet_and_is_valid() -> None:
    said = icmp.error(icmp.FRAGMENTATION_NEEDED, packet(), number("10.50.1.0"), mtu=1472)
    assert said is not None
    assert said[20:22] == bytes([3, 4])
    assert said[26:28] == (1472).to_bytes(2, "big")
    assert said[28:] == packet()
    assert checksum(said[:20]) == 0
    assert checksum(said[20:]) == 0
    assert said[12:20] == IPv4Address("10.50.1.0").packed + IPv4Address("10.50.1.5").packed


@pytest.mark.parametrize(
    "offending",
    [
        packet(offset=0x20),
        packet("224.0.0.5"),
        packet("255.255.255.255"),
        packet("127.0.0.1"),
        packet("0.0.0.0"),
        packet(protocol=1, body=bytes([3, 0]) + bytes(10)),
        packet(protocol=1, body=b""),
    ],
)
def test_no_icmp_error_about_what_may_not_have_one(offending: bytes) -> None:
    assert icmp.error(icmp.NET_UNREACHABLE, offending, number("10.50.1.0")) is None


def test_icmp_error_about_an_echo_request_is_sent() -> None:
    assert icmp.error(icmp.TTL_EXCEEDED, packet(protocol=1, body=bytes([8, 0, 0, 0])), number("10.50.1.0"))
