"""Cutting and joining: what is cut is valid packet by packet, and what is joined can be cut into the same again."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.udp.forwarder.join import joints
from flanpy.udp.forwarder.packet import VNET
from flanpy.udp.forwarder.segment import cut
from flanpy.udp.forwarder.tcp_segment import finish_tcp

pytestmark = pytest.mark.usefixtures("both_ways")

SOURCE, TARGET = bytes([10, 50, 1, 2]), bytes([10, 50, 2, 3])
ACK, PSH, FIN, CWR = 0x10, 0x08, 0x01, 0x80


def tcp(
    payload: bytes, *, seq: int = 7, flags: int = ACK, options: bytes = b"", port: int = 1000
) -> bytearray:
    """A whole TCP segment with right checksums."""
    length = 20 + 20 + len(options) + len(payload)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, length & 0xFFFF, 65530, 0x4000, 63, 6, 0) + SOURCE + TARGET
    offset = (20 + len(options)) // 4 << 4
    packet = bytearray(
        ip + struct.pack(">HHIIBBHHH", port, 2000, seq, 9, offset, flags, 500, 0, 0) + options + payload
    )
    finish_tcp(packet, 20)
    return packet


def word_sums(text: bytes | bytearray) -> int:
    """The ones' complement sum by the book: word by word, carries around."""
    total = 0
    text = bytes(text)
    for at in range(0, len(text) + len(text) % 2, 2):
        total += int.from_bytes((text + b"\0")[at : at + 2], "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


def is_valid(packet: bytes) -> bool:
    """Both checksums are right, and the length is."""
    header = (packet[0] & 15) * 4
    pseudo = packet[12:20] + bytes([0, 6]) + (len(packet) - header).to_bytes(2, "big")
    return (
        int.from_bytes(packet[2:4], "big") == len(packet)
        and word_sums(packet[:header]) == 0xFFFF
        and word_sums(pseudo + packet[header:]) == 0xFFFF
    )


def segments_of(packet: bytes | bytearray, header: int, size: int) -> list[bytes]:
    found = cut(memoryview(packet), header, size)
    made, each = bytes(found.text), found.each
    return [made[at : at + each] for at in range(0, len(made), each)] + ([found.last] if found.last else [])


@settings(deadline=None, max_examples=150)
@given(
    payload=st.integers(1, 9000),
    size=st.integers(1, 1500),
    options=st.integers(0, 10),
    flags=st.sampled_from([ACK, ACK | PSH, ACK | FIN, ACK | PSH | FIN | CWR]),
    seq=st.sampled_from([0, 7, 2**32 - 3000]),
)
def test_segments_are_valid_and_carry_the_stream(
    payload: int, size: int, options: int, flags: int, seq: int
) -> None:
    if payload // size > 300:
        size = payload // 300 + 1
    text = Random(payload).randbytes(payload)
    packet = bytes(tcp(text, seq=seq, flags=flags, options=bytes(4 * options)))
    header = 40 + 4 * options
    found = segments_of(packet, header, size)

    assert all(is_valid(one) for one in found)
    assert b"".join(one[header:] for one in found) == text
    assert all(len(one) == header + size for one in found[:-1])
    numbers = [int.from_bytes(one[24:28], "big") for one in found]
    assert numbers == [(seq + size * n) % 2**32 for n in range(len(found))]
    assert [int.from_bytes(one[4:6], "big") for one in found] == [
        (65530 + n) % 65536 for n in range(len(found))
    ]
    assert found[-1][33] & (PSH | FIN) == flags & (PSH | FIN)
    assert all(one[33] & (PSH | FIN) == 0 for one in found[:-1])
    assert [bool(one[33] & CWR) for one in found] == [bool(flags & CWR)] + [False] * (len(found) - 1)


def joined(text: bytes, each: int) -> list[tuple[int, bytes]]:
    """(segments, what is written) of each joint; a single one as it is."""
    buffer = memoryview(bytearray(text))
    return [
        (joint.count, bytes(joint.text) if joint.count == 1 else b"".join(map(bytes, joint.pieces())))
        for joint in joints(buffer, each)
    ]


@pytest.mark.parametrize("size", [1420, 1000, 536])
@pytest.mark.parametrize("payload", [2840, 2841, 30_000, 62_000])
def test_what_is_cut_is_joined_into_the_same_packet_again(size: int, payload: int) -> None:
    packet = bytes(tcp(Random(1).randbytes(payload), flags=ACK | PSH, options=bytes(12)))
    [(count, written)] = joined(b"".join(segments_of(packet, 52, size)), 52 + size)

    flags, gso, header, gso_size, start, field = VNET.unpack_from(written)
    whole = bytearray(written[VNET.size :])
    assert (flags, gso, header, gso_size, start, field) == (1, 1, 52, size, 20, 16)
    assert count == -(-payload // size)
    assert int.from_bytes(whole[36:38], "big") == word_sums(
        packet[12:20] + bytes([0, 6]) + (len(whole) - 20).to_bytes(2, "big")
    )
    finish_tcp(whole, 20)
    assert whole == packet


def test_two_flows_are_not_mixed() -> None:
    one = segments_of(tcp(bytes(4000)), 40, 1000)
    two = segments_of(tcp(bytes(4000), port=1001), 40, 1000)
    found = joined(b"".join([*one[:2], *two[:2], one[2], two[2]]), 1040)

    assert [count for count, _ in found] == [2, 2, 1, 1]
    assert found[2][1] == one[2]


@pytest.mark.parametrize(
    ("at", "what"),
    [(50, "payload"), (10, "header sum"), (8, "TTL"), (1, "TOS"), (24, "sequence"), (28, "ack"), (33, "flags"),
     (34, "window"), (12, "source"), (6, "fragment"), (3, "length")],
)  # fmt: skip
def test_segment_that_differs_is_left_as_it_is(at: int, what: str) -> None:
    segments = segments_of(tcp(bytes(5000)), 40, 1000)
    spoilt = bytearray(segments[2])
    spoilt[at] ^= 0x22
    segments[2] = bytes(spoilt)
    found = joined(b"".join(segments), 1040)

    assert [count for count, _ in found] == [2, 1, 2], what
    assert found[1][1] == bytes(spoilt)


@settings(deadline=None, max_examples=200)
@given(text=st.binary(min_size=1, max_size=3000), each=st.integers(1, 1500))
def test_anything_is_passed_on_byte_for_byte_when_it_is_no_stream(text: bytes, each: int) -> None:
    found = joined(text, each)
    assert b"".join(written for _, written in found) == text


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(["a", "b", "bad", "push", "gap", "odd"]), min_size=1, max_size=20), st.randoms()
)
def test_joints_keep_every_segment_in_order(kinds: list[str], rng: Random) -> None:
    seqs, sent = {"a": 5, "b": 9}, []
    for kind in kinds:
        flow = kind if kind in seqs else "a"
        seqs[flow] += 700 if kind == "gap" else 0
        one = tcp(rng.randbytes(500), seq=seqs[flow], flags=ACK | PSH * (kind == "push"), port=ord(flow))
        one[60] ^= kind == "bad"
        seqs[flow] += 500
        sent.append(bytes(one))
    found = []
    for count, written in joined(b"".join(sent), 540):
        if count == 1:
            found.append(written)
        else:
            whole = bytearray(written[VNET.size :])
            finish_tcp(whole, 20)
            found += segments_of(bytes(whole), 40, 500)
    assert [one[20:] for one in found] == [one[20:] for one in sent]
