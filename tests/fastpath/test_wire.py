"""The fast path sends the packets of the kernel's VXLAN device, byte for byte; streams arrive whole."""

from __future__ import annotations

import socket
import struct
from contextlib import closing

import pytest

from flanpy.fastpath.maps import Word
from tests.fastpath.hosts import PORT, UNDERLAY, VETH, Host, fast_hosts
from tests.udp.bpf import streams
from tests.udp.bpf.frames import checksum
from tests.udp.bpf.hosts import switch_offloads, udp_socket
from tests.udp.bpf.wire import Seen, Tap, tap

pytestmark = pytest.mark.netns

_TOS = (0x00, 0x01, 0x02, 0x03, 0xB8, 0xBA)
_SIZES = (0, 1, 64, 1421, 1422)
_IP_MTU_DISCOVER, _DONT, _DO = 10, 0, 2
_DATAGRAM = 7001


def _comparable(seen: Seen) -> bytes:
    """The frame without what differs from packet to packet: identifications, their sums, an outer UDP checksum."""
    frame = bytearray(seen.frame)
    for start, end in ((18, 20), (24, 26), (40, 42), (68, 70), (74, 76)):
        frame[start:end] = bytes(end - start)
    return bytes(frame)


def _is_right(seen: Seen) -> bool:
    inner = seen.frame[64:]
    pseudo = inner[12:20] + struct.pack("!BBH", 0, inner[9], len(inner) - 20)
    return checksum(seen.frame[14:34]) == 0 == checksum(inner[:20]) and checksum(pseudo, inner[20:]) == 0


def _is_fast(seen: Seen) -> bool:
    """The kernel's device makes the outer UDP checksum, which is optional; the fast path does not."""
    return seen.frame[40:42] == bytes(2)


def _sent(one: Host, two: Host, sender: socket.socket, what: Tap) -> list[Seen]:
    """One datagram of each kind on the wire, with a first one that proves the flow."""
    found = []
    sender.sendto(b"proof", (str(two.inside), _DATAGRAM))
    what.seen(PORT)
    for tos in _TOS:
        for discover in (_DONT, _DO):
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            sender.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, discover)
            for size in _SIZES:
                sender.sendto(bytes(n % 251 for n in range(size)), (str(two.inside), _DATAGRAM))
    found = what.seen(PORT)
    assert len(found) == len(_TOS) * 2 * len(_SIZES)
    return found


def test_fast_packets_are_those_of_the_kernels_device() -> None:
    with (
        fast_hosts() as (one, two),
        closing(udp_socket(one.container, one.inside, 7002)) as sender,
        closing(udp_socket(two.container, two.inside, _DATAGRAM)),
        tap(two.here, UNDERLAY) as what,
    ):
        for host in (one, two):
            switch_offloads(host.here, UNDERLAY)
            switch_offloads(host.here, VETH)
            switch_offloads(host.container, "eth0")
        one.vouch(0)
        slow = _sent(one, two, sender, what)
        one.vouch(1)
        fast = _sent(one, two, sender, what)
        assert not any(map(_is_fast, slow))
        assert all(map(_is_fast, fast))
        assert all(map(_is_right, (*slow, *fast)))
        assert [_comparable(one) for one in fast] == [_comparable(one) for one in slow]


@pytest.mark.parametrize("offloads", [True, False], ids=["superpackets", "wire"])
def test_stream_arrives_byte_for_byte_by_the_fast_path(offloads: bool) -> None:
    with fast_hosts() as (one, two):
        if not offloads:
            for host in (one, two):
                switch_offloads(host.here, UNDERLAY)
                switch_offloads(host.here, VETH)
        for source, target in ((one, two), (two, one)):
            sent, arrived = streams.stream_hashes(source, target, 64 << 20)
            assert sent == arrived
            counted = source.counts(target)
            assert counted.fast_out[1] > 60 << 20, counted
            assert target.counts(source).fast_in[1] > 60 << 20


def test_packet_takes_as_many_hops_as_on_the_normal_way() -> None:
    with (
        fast_hosts() as (one, two),
        closing(udp_socket(one.container, one.inside, 7002)) as sender,
        closing(udp_socket(two.container, two.inside, _DATAGRAM)) as receiver,
    ):
        receiver.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        hops = []
        for _ in range(3):
            sender.sendto(b"hello", (str(two.inside), _DATAGRAM))
            _, extra, _, _ = receiver.recvmsg(100, 100)
            hops.append(int.from_bytes(extra[0][2][:4], "little"))
        assert one.counts(two).fast_out[0] == two.counts(one).fast_in[0] == 2
        assert hops == [62, 62, 62]


@pytest.mark.parametrize("what", ["an expiring packet", "a fragment", "a packet above the MTU"])
def test_packet_that_the_kernel_has_to_answer_goes_the_normal_way(what: str) -> None:
    """The sender is told, or the packet arrives, as if there were no programs."""
    with fast_hosts() as (one, two):
        assert one.container.run(*f"ping -n -c 3 -i 0.1 {two.inside}".split())
        match what:
            case "an expiring packet":
                said = one.container.run(*f"ping -n -c 1 -t 1 -W 2 {two.inside}".split(), check=False)
                assert "Time to live exceeded" in said
            case "a fragment":
                assert " 0% packet loss" in one.container.run(
                    *f"ping -n -c 3 -i 0.1 -s 4000 {two.inside}".split()
                )
            case _:
                one.here.ip("link set flannel.1 mtu 1300")
                one.maps.vouch(_word(one, 1300))
                said = one.container.run(
                    *f"ping -n -c 1 -W 2 -M do -s 1400 {two.inside}".split(), check=False
                )
                assert "Frag needed" in said or "Message too long" in said or "too long" in said


def _word(host: Host, mtu: int) -> Word:
    return Word(host.generation, 1 << 62, mtu, mtu)
