"""Bursts of small datagrams: joined for the device as they came, and sent as if each had been alone."""

from __future__ import annotations

import asyncio
import socket
import struct
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flanpy.model.tunnel import Count
from flanpy.udp.forwarder.packet import VNET
from tests.udp.forwarder.rig import tunnel
from tests.udp.forwarder.test_hostile import bench
from tests.udp.forwarder.test_process import DEADLINE_S
from tests.udp.forwarder.test_segment_and_join import joined, word_sums

pytestmark = pytest.mark.usefixtures("both_ways")

UDP_SEGMENT = 103


def datagram(
    text: bytes,
    *,
    number: int = 1,
    df: bool = False,
    port: int = 1000,
    ttl: int = 63,
    target: bytes = bytes([10, 50, 2, 3]),
) -> bytes:
    """A whole UDP datagram in IPv4 with right checksums."""
    length = 28 + len(text)
    ip = bytearray(struct.pack(">BBHHHBBH", 0x45, 0, length, number & 0xFFFF, 0x4000 * df, ttl, 17, 0))
    ip += bytes([10, 50, 1, 2]) + target
    ip[10:12] = (~word_sums(ip) & 0xFFFF).to_bytes(2, "big")
    header = struct.pack(">HHHH", port, 2000, 8 + len(text), 0)
    total = ~word_sums(_pseudo(ip, 8 + len(text)) + header + text) & 0xFFFF
    return bytes(ip + header[:6] + (total or 0xFFFF).to_bytes(2, "big") + text)


def _pseudo(ip: bytes | bytearray, length: int) -> bytes:
    return bytes(ip[12:20]) + bytes([0, 17]) + length.to_bytes(2, "big")


def datagrams_of(written: bytes) -> list[bytes]:
    """Return the datagrams that the kernel makes of a joined packet (net/ipv4/udp_offload.c)."""
    flags, gso, header, size, start, field = VNET.unpack_from(written)
    packet = written[VNET.size :]
    assert (flags, gso, header, start, field) == (1, 5, 28, 20, 6)
    assert int.from_bytes(packet[2:4], "big") == len(packet)
    assert int.from_bytes(packet[24:26], "big") == len(packet) - 20
    assert word_sums(packet[:20]) == 0xFFFF
    assert int.from_bytes(packet[26:28], "big") == word_sums(_pseudo(packet, len(packet) - 20))
    number, port = int.from_bytes(packet[4:6], "big"), int.from_bytes(packet[20:22], "big")
    texts = [packet[at : at + size] for at in range(28, len(packet), size)]
    return [
        datagram(text, number=number + n, df=packet[6] == 0x40, port=port, ttl=packet[8])
        for n, text in enumerate(texts)
    ]


def expanded(found: list[tuple[int, bytes]]) -> list[bytes]:
    return [one for count, written in found for one in ([written] if count == 1 else datagrams_of(written))]


@pytest.mark.parametrize("size", [2, 64, 600, 1400])
@pytest.mark.parametrize("last", [0, 1, 2])
def test_datagrams_of_one_flow_are_joined_and_come_apart_as_they_were(size: int, last: int) -> None:
    texts = [Random(n).randbytes(size) for n in range(20)] + ([bytes([7] * last)] if 0 < last < size else [])
    sent = [datagram(text, number=65530 + n) for n, text in enumerate(texts)]
    found = joined(b"".join(sent), 28 + size)

    assert [count for count, _ in found] == [len(sent)]
    assert expanded(found) == sent


def test_no_more_datagrams_are_joined_than_old_kernels_take() -> None:
    sent = [datagram(bytes(64), number=n) for n in range(150)]
    found = joined(b"".join(sent), 92)
    assert [count for count, _ in found] == [64, 64, 22]
    assert expanded(found) == sent


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from(["a", "a", "a", "b", "bad", "gap", "plain", "ttl"]), min_size=1, max_size=20),
    st.booleans(),
    st.randoms(),
)
def test_datagrams_stay_what_they_were_and_in_order(kinds: list[str], df: bool, rng: Random) -> None:
    number, sent = 5, []
    for kind in kinds:
        number += 9 if kind == "gap" else 1
        one = bytearray(
            datagram(
                rng.randbytes(50),
                number=number,
                df=df,
                port=ord(kind[0]) if kind == "b" else 97,
                ttl=60 + (kind == "ttl"),
            )
        )
        one[40] ^= kind == "bad"
        if kind == "plain":
            one[26:28] = bytes(2)
        sent.append(bytes(one))
    found = expanded(joined(b"".join(sent), 78))

    without_number = [0, 1, 2, 3, *range(6, 10), *range(12, 78)] if df else range(78)
    assert [[one[at] for at in without_number] for one in found] == [
        [one[at] for at in without_number] for one in sent
    ]


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(0, 200),
    count=st.integers(1, 70),
    unfinished=st.booleans(),
    odd_one=st.sampled_from(["none", "ttl", "target", "nowhere"]),
)
def test_each_datagram_of_a_burst_leaves_as_if_it_were_alone(
    size: int, count: int, unfinished: bool, odd_one: str
) -> None:
    sent = [
        datagram(Random(n).randbytes(size), number=n, target=bytes([10, 50, 2, 7]), ttl=64)
        for n in range(count)
    ]
    if odd_one != "none":
        target = bytes([10, 50, 77 if odd_one == "nowhere" else 2, 9])
        ttl = 1 if odd_one == "ttl" else 64
        sent[count // 2] = datagram(bytes(size), number=count // 2, target=target, ttl=ttl)
    lost = odd_one in {"ttl", "nowhere"}
    with bench() as b:
        for one in sent:
            packet, vnet = bytearray(one), VNET.pack(0, 0, 0, 0, 0, 0)
            if unfinished:
                vnet = VNET.pack(1, 0, 28, 0, 20, 6)
                packet[26:28] = word_sums(_pseudo(packet, len(packet) - 20)).to_bytes(2, "big")
            b.device.send(vnet + packet)
        while True:
            before = dict(b.counts)
            b.transmitter.drain()
            if b.counts == before:
                break
        found = b.sent()

        wanted = [one for n, one in enumerate(sent) if not lost or n != count // 2]
        assert found == [
            datagram(one[28:], number=int.from_bytes(one[4:6], "big"), target=one[16:20], ttl=63)
            for one in wanted
        ]
        assert b.counts[Count.TX_PACKETS] == len(wanted)
        assert b.counts[Count.TX_BYTES] == sum(map(len, wanted))
        assert b.refused() == lost


@pytest.mark.netns
@pytest.mark.asyncio
@pytest.mark.parametrize("size", [64, 601, 1400])
async def test_burst_of_one_call_arrives_datagram_by_datagram(size: int) -> None:
    """Through two real devices: what is joined, the kernel takes apart again."""
    texts = [bytes([n]) * size for n in range(40)]
    async with tunnel() as (one, two):
        with (
            two.here.do(lambda: opened(two.address)) as reader,
            one.here.do(lambda: opened(one.address)) as sender,
        ):
            note = (socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", size))
            sender.sendmsg([b"".join(texts)], [note], 0, reader.getsockname())
            found = await asyncio.to_thread(lambda: [reader.recv(9000) for _ in texts])
        assert found == texts


def opened(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(DEADLINE_S)
    return sock
