"""The plain peer in Python does what flannel's method is: no more, no less."""

from __future__ import annotations

import socket
import struct

from integration.yardstick.plain import aged, checksum, find, read_routes, unreachable

ONE, TWO, OWN = (socket.inet_aton(text) for text in ("10.50.1.2", "10.50.2.2", "10.99.1.4"))


def _packet(ttl: int = 64, payload: bytes = b"twelve bytes") -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, 0, ttl, 17, 0, ONE, TWO)
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def test_first_route_that_matches_wins_whatever_its_length() -> None:
    routes = read_routes(["10.50.0.0/16=10.99.1.1", "10.50.2.0/24=10.99.1.2", "10.60.9.9/24=10.99.1.3"])
    assert find(routes, TWO) == "10.99.1.1"
    assert find(routes, socket.inet_aton("10.60.9.1")) == "10.99.1.3"
    assert find(routes, socket.inet_aton("192.0.2.1")) is None


def test_packet_gets_older_with_its_checksum_right_at_every_age() -> None:
    packet = _packet(255)
    for ttl in range(254, 0, -1):
        older = aged(packet)
        assert older is not None
        assert older == _packet(ttl)
        packet = older
    assert aged(packet) is None


def test_wrong_checksum_stays_wrong() -> None:
    packet = bytearray(_packet())
    packet[11] ^= 1
    older = aged(bytes(packet))
    assert older is not None
    assert checksum(older[:20]) != 0


def test_what_is_no_packet_is_not_forwarded() -> None:
    assert aged(b"") is None
    assert aged(b"\x60" + bytes(39)) is None
    assert aged(_packet()[:19]) is None


def test_answer_to_a_packet_to_nobody_is_valid_and_quotes_it() -> None:
    packet = _packet()
    answer = unreachable(packet, OWN)
    assert (checksum(answer[:20]), checksum(answer[20:])) == (0, 0)
    assert (answer[9], answer[12:16], answer[16:20]) == (1, OWN, ONE)
    assert (answer[20], answer[21]) == (3, 0)
    assert answer[28:] == packet[:28]
