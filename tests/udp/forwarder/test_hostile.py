"""Hostile packets, judged in this process: real datagrams in, and what would be written to the device out.

The device is one end of a packet socket pair, so whatever the forwarder writes comes out packet by packet.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flanpy.model.tunnel import Count, TunnelRow, TunnelTable
from flanpy.udp.forwarder.control import Counters, no_counts
from flanpy.udp.forwarder.lookup import Lookup
from flanpy.udp.forwarder.packet import VNET
from flanpy.udp.forwarder.receive import Receiver
from flanpy.udp.forwarder.transmit import Transmitter
from flanpy.udp.forwarder.worker import ask_for_bulk
from tests.udp.forwarder.test_segment_and_join import is_valid, tcp, word_sums

pytestmark = pytest.mark.usefixtures("both_ways")

HERE = IPv4Address("127.0.0.1")
OWN, PEERS = IPv4Network("10.50.1.0/24"), IPv4Network("10.50.2.0/24")
MTU = 1472
SO_RCVBUFFORCE = 33  # not in Python's socket module
SERVED = {Count.TX_PACKETS, Count.TX_BYTES, Count.RX_PACKETS, Count.RX_BYTES}


@dataclass
class Bench:
    """`device` is the kernel's end of the TUN device, `peer` the other host's socket."""

    device: socket.socket
    peer: socket.socket
    address: tuple[str, int]
    receiver: Receiver
    transmitter: Transmitter
    counts: Counters

    def written(self) -> list[bytes]:
        return list(drained(self.device))

    def sent(self) -> list[bytes]:
        return list(drained(self.peer))

    def refused(self) -> int:
        return sum(n for count, n in self.counts.items() if count not in SERVED)


def drained(sock: socket.socket) -> Iterator[bytes]:
    while True:
        try:
            yield sock.recv(1 << 17, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return


@contextmanager
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        device, queue = map(stack.enter_context, socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        peer, tunnel = (
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(2)
        )
        peer.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)  # holds what one test sends, all of it
        for sock in (peer, tunnel):
            sock.bind((str(HERE), 0))
        queue.setblocking(False)
        ask_for_bulk(tunnel)
        counts = no_counts()
        table = TunnelTable(HERE, peer.getsockname()[1], MTU, OWN, (TunnelRow(PEERS, HERE),))
        receiver = Receiver(queue.fileno(), tunnel, counts)
        transmitter = Transmitter(queue.fileno(), tunnel, counts)
        receiver.use(Lookup(table))
        transmitter.use(Lookup(table))
        yield Bench(device, peer, tunnel.getsockname(), receiver, transmitter, counts)


def inner(
    source: str = "10.50.2.7", target: str = "10.50.1.9", *, tos: int = 0, size: int = 20, ttl: int = 64
) -> bytearray:
    """A bare IPv4 packet of a protocol nobody knows."""
    packet = bytearray(struct.pack(">BBHHHBBH", 0x45, tos, 20 + size, 1, 0, ttl, 253, 0))
    packet += IPv4Address(source).packed + IPv4Address(target).packed + bytes(size)
    packet[10:12] = (~word_sums(packet[:20]) & 0xFFFF).to_bytes(2, "big")
    return packet


@st.composite
def spoilt(draw: st.DrawFn, source: str, target: str) -> bytes:
    """Nearly right, so that the last judgements are reached too."""
    right = st.sampled_from([inner(source, target), tcp(bytes(300)), inner(source, "10.50.77.1")])
    packet = bytearray(draw(right))
    if draw(st.booleans()):
        packet[12:16], packet[16:20] = IPv4Address(source).packed, IPv4Address(target).packed
    for at, value in draw(st.lists(st.tuples(st.integers(0, 41), st.integers(0, 255)), max_size=3)):
        if at < len(packet):
            packet[at] = value
    return bytes(packet[: draw(st.integers(0, 400))])


def superpacket(segment: int) -> bytes:
    """Return the superpacket that the device gives for 300 bytes of TCP text, to leave in segments of `segment`
    bytes."""
    whole = tcp(bytes(300))
    whole[12:16], whole[16:20] = IPv4Address("10.50.1.9").packed, IPv4Address("10.50.2.7").packed
    return VNET.pack(0, 1, 0, segment, 0, 0) + bytes(whole)


def is_whole(packet: bytes) -> bool:
    """The IPv4 header says what is there."""
    return (
        len(packet) >= 20
        and packet[0] >> 4 == 4
        and 20 <= (packet[0] & 15) * 4 <= len(packet) == int.from_bytes(packet[2:4], "big")
    )


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=80) | spoilt("10.50.2.7", "10.50.1.9"), min_size=1, max_size=8))
def test_only_whole_packets_from_the_peers_subnet_to_ours_come_out_whatever_comes_in(
    texts: list[bytes],
) -> None:
    with bench() as b:
        for text in texts:
            b.peer.sendto(text, b.address)
        b.receiver.drain()
        found = [written[VNET.size :] for written in b.written()]

        assert all(map(is_whole, found))
        assert all(IPv4Address(one[12:16]) in PEERS and IPv4Address(one[16:20]) in OWN for one in found)
        assert b.counts[Count.RX_PACKETS] == len(found)
        assert b.counts[Count.RX_PACKETS] + b.refused() == len(texts)


_HEADERS = st.builds(
    VNET.pack,
    st.integers(0, 3), st.sampled_from([0, 1, 0x81, 3, 4, 5, 200]), st.integers(0, 2000),
    st.sampled_from([0, 1, 100, 101, 1420, 65535]), st.integers(0, 70), st.integers(0, 70),
)  # fmt: skip


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.binary(min_size=1, max_size=30)
        | st.tuples(_HEADERS, spoilt("10.50.1.9", "10.50.2.7")).map(b"".join),
        min_size=1,
        max_size=8,
    )
)
@example([superpacket(65535)])
@example([superpacket(1)] * 8)
@example(
    [VNET.pack(1, 0, 0, 0, 0, 15) + inner("10.50.1.9", "10.50.2.7")] * 8
)  # a checksum within the addresses
def test_only_whole_packets_for_the_peers_subnet_leave_whatever_the_device_gives(texts: list[bytes]) -> None:
    with bench() as b:
        for text in texts:
            b.device.send(text)
        b.transmitter.drain()
        found = b.sent()

        assert all(map(is_whole, found))
        assert all(IPv4Address(one[16:20]) in PEERS and len(one) <= MTU for one in found)
        assert len(found) == b.counts[Count.TX_PACKETS]
        assert sum(map(len, found)) == b.counts[Count.TX_BYTES]


@pytest.mark.parametrize(
    ("own", "outer", "then"),
    [
        (0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, None),
        (1, 0, 1), (1, 1, 1), (1, 2, 1), (1, 3, 3),
        (2, 0, 2), (2, 1, 1), (2, 2, 2), (2, 3, 3),
        (3, 0, 3), (3, 1, 3), (3, 2, 3), (3, 3, 3),
    ],
)  # fmt: skip
def test_congestion_on_the_underlay_is_told_as_rfc_6040_says(own: int, outer: int, then: int | None) -> None:
    with bench() as b:
        b.peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, outer)
        b.peer.sendto(inner(tos=0xB8 | own), b.address)
        b.receiver.drain()
        found = [written[VNET.size :] for written in b.written()]

        assert [one[1] for one in found] == ([] if then is None else [0xB8 | then])
        assert all(word_sums(one[:20]) == 0xFFFF for one in found)
        assert b.counts[Count.RX_ERRORS] == (then is None)


@pytest.mark.parametrize("bits", [0, 1, 2, 3])
def test_outer_header_has_the_inner_congestion_bits_and_nothing_else_of_its_tos(bits: int) -> None:
    with bench() as b:
        b.peer.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        b.device.send(bytes(VNET.size) + inner("10.50.1.9", "10.50.2.7", tos=0xB8 | bits))
        b.transmitter.drain()
        packet, [(_level, _kind, tos)], _flags, _from = b.peer.recvmsg(2000, 100)

        assert packet[1] == 0xB8 | bits
        assert tos[0] == bits


@pytest.mark.parametrize("size", [100, 101, 1420])
def test_one_superpacket_leaves_as_valid_packets_one_in_each_datagram(size: int) -> None:
    text = os.urandom(30 * size + 7)
    whole = tcp(text, seq=2**32 - 500)
    whole[12:16], whole[16:20] = IPv4Address("10.50.1.9").packed, IPv4Address("10.50.2.7").packed
    with bench() as b:
        b.device.send(VNET.pack(1, 1, 40, size, 20, 16) + whole)
        b.transmitter.drain()
        found = b.sent()

    assert len(found) == 31
    assert all(map(is_valid, found))
    assert b"".join(one[40:] for one in found) == text
    assert {one[8] for one in found} == {whole[8] - 1}


def test_what_was_joined_comes_out_with_the_stream_whole_and_its_ttl_one_less() -> None:
    text = os.urandom(20_000)
    with bench() as sender, bench() as b:
        whole = tcp(text)
        whole[12:16], whole[16:20] = IPv4Address("10.50.1.9").packed, IPv4Address("10.50.2.7").packed
        sender.device.send(VNET.pack(1, 1, 40, 1000, 20, 16) + whole)
        sender.transmitter.drain()
        segments = sender.sent()
        swapped = [bytes(one[:12] + one[16:20] + one[12:16] + one[20:]) for one in segments]
        rest = [(socket.IPPROTO_UDP, 103, struct.pack("=H", 1040))]
        b.peer.sendmsg([b"".join(swapped)], rest, 0, b.address)
        b.receiver.drain()
        written = b.written()

    assert all(map(is_valid, swapped))
    assert b.counts[Count.RX_PACKETS] == 20
    assert b"".join(one[VNET.size + 40 :] for one in written) == text
    assert all(one[VNET.size + 8] == whole[8] - 2 for one in written)
    assert all(word_sums(one[VNET.size : VNET.size + 20]) == 0xFFFF for one in written)
