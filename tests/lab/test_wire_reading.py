"""The eyes of the wire tests: a packet that is right passes, and one with any byte changed does not."""

from __future__ import annotations

import socket
import struct

import pytest

from tests.lab.wire_side import ICMP, PORT, TCP, UDP, inner_packets, packet_in, total, tunnelled

ONE, TWO = (socket.inet_aton(text) for text in ("10.50.1.2", "10.50.2.2"))


def _summed(text: bytes, at: int, pseudo: bytes = b"") -> bytes:
    found = ~total(pseudo + text) & 0xFFFF
    return text[:at] + found.to_bytes(2, "big") + text[at + 2 :]


def _packet(protocol: int, body: bytes, *, flags: int = 0x4000) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 7, flags, 64, protocol, 0, ONE, TWO)
    return _summed(head, 10) + body


def _pseudo(protocol: int, length: int) -> bytes:
    return ONE + TWO + struct.pack("!BBH", 0, protocol, length)


def _tcp(payload: bytes) -> bytes:
    body = struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x18, 500, 0, 0) + payload
    return _packet(TCP, _summed(body, 16, _pseudo(TCP, len(body))))


def _udp(payload: bytes) -> bytes:
    body = struct.pack("!HHHH", 1, 2, 8 + len(payload), 0) + payload
    return _packet(UDP, _summed(body, 6, _pseudo(UDP, len(body))))


GOOD = {
    "tcp": _tcp(b"odd length"),
    "udp": _udp(b"whole"),
    "icmp": _packet(ICMP, _summed(struct.pack("!BBHHH", 8, 0, 0, 1, 1) + b"ping!", 2)),
}


@pytest.mark.parametrize("packet", GOOD.values(), ids=GOOD)
def test_right_packet_has_nothing_wrong_and_any_changed_byte_is_told(packet: bytes) -> None:
    assert packet_in(packet).wrong == ()
    for at in range(len(packet)):
        changed = bytearray(packet)
        changed[at] ^= 0x55
        found = packet_in(bytes(changed))
        assert found.wrong, f"byte {at} of {packet.hex()}"


def test_packet_cut_off_at_any_length_is_told() -> None:
    packet = GOOD["tcp"]
    assert all(packet_in(packet[:length]).wrong for length in range(len(packet)))


def test_checksum_left_to_a_network_card_is_told() -> None:
    body = struct.pack("!HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x18, 500, 0, 0) + b"payload"
    partial = total(_pseudo(TCP, len(body)))  # what the kernel leaves in the field
    packet = _packet(TCP, body[:16] + partial.to_bytes(2, "big") + body[18:])
    assert packet_in(packet).wrong == ("wrong checksum of protocol 6",)


def test_fragment_is_judged_by_its_header_alone() -> None:
    found = packet_in(_packet(UDP, b"middle of a datagram", flags=0x2003))
    assert (found.fragment, found.wrong) == (True, ())


def test_frame_is_taken_apart_into_all_its_packets() -> None:
    payload = GOOD["tcp"] + GOOD["udp"]
    datagram = struct.pack("!HHHH", PORT, PORT, 8 + len(payload), 0) + payload
    frame = bytes(12) + b"\x08\x00" + _packet(UDP, datagram)
    assert [packet.protocol for packet in inner_packets(tunnelled(frame) or b"")] == [TCP, UDP]
    assert [packet.wrong for packet in inner_packets(payload[:-1])] == [(), ("cut off: 32 of 33 bytes",)]


def test_other_frames_are_none_of_the_tunnels() -> None:
    assert tunnelled(bytes(12) + b"\x08\x00" + GOOD["udp"]) is None
    assert tunnelled(bytes(12) + b"\x08\x06" + bytes(28)) is None
