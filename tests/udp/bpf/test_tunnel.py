"""Packets between containers of two hosts through the programs alone: whole and valid, whatever offloads."""

from __future__ import annotations

import socket
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.model.tunnel import Count, TunnelRow
from tests.udp.bpf import streams
from tests.udp.bpf.frames import Packet
from tests.udp.bpf.hosts import (
    OVERLAY,
    PORT,
    UNDERLAY,
    Host,
    joined_hosts,
    lone_ping,
    ping,
    switch_offloads,
    two_hosts,
)
from tests.udp.bpf.wire import tap

pytestmark = pytest.mark.netns

_IP_RECVTTL, _UDP_SEGMENT = 12, 103
_MANY = tuple(
    TunnelRow(IPv4Network((0x0A330000 + (n << 8), 24)), IPv4Address(0x0A630100 + n), fast=bool(n % 2))
    for n in range(200)
)


def test_containers_reach_each_other_when_no_process_holds_the_tun_device() -> None:
    with joined_hosts() as (one, two):
        assert ping(one.container, two.inside)
        assert ping(two.container, one.inside)
        assert ping(one.here, two.subnet[0])
        assert ping(one.container, two.inside, more="-s 1444 -M do"), "a packet of the device's MTU"
        assert "carrier" in one.here.ip(f"-d link show {OVERLAY}").lower()
        assert one.count(Count.TX_PACKETS) == two.count(Count.RX_PACKETS) >= 12
        assert one.count(Count.TX_BYTES) == two.count(Count.RX_BYTES)


def test_packet_takes_two_hops_in_the_tunnel() -> None:
    """As with flannel's proxy: one at either end, beside those of the hosts' own forwarding."""
    with (
        joined_hosts() as (one, two),
        closing(streams.udp_socket(one)) as sender,
        closing(streams.udp_socket(two, 7001)) as receiver,
    ):
        receiver.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        receiver.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        sender.sendto(b"hello", (str(two.inside), 7001))
        _, extra, _, _ = receiver.recvmsg(100, 100)
        values = {kind: int.from_bytes(value[:4], "little") for _, kind, value in extra}
        assert values[socket.IP_TTL] == 64 - 1 - 2 - 1
        assert values[socket.IP_TOS] == 0xB8


@pytest.mark.parametrize("offloads", [True, False], ids=["superpackets", "wire"])
@pytest.mark.parametrize("segments", [True, False], ids=["whole", "cut"])
def test_tcp_stream_arrives_byte_for_byte(offloads: bool, segments: bool) -> None:
    """`segments` of the containers' own links, `offloads` of the cable between the hosts: all four combinations."""
    with joined_hosts(offloads=offloads, segments=segments) as (one, two):
        for source, target in ((one, two), (two, one)):
            sent, arrived = streams.stream_hashes(source, target, 8 << 20)
            assert sent == arrived


def test_tcp_stream_arrives_when_only_the_receiving_container_takes_no_superpackets() -> None:
    """A packet that came in whole must be cut after it was unpacked."""
    with joined_hosts() as (one, two):
        switch_offloads(two.here, "pod")
        switch_offloads(two.container, "eth0")
        sent, arrived = streams.stream_hashes(one, two, 8 << 20)
        assert sent == arrived


def test_datagrams_that_a_container_sends_at_once_stay_with_the_tun_device() -> None:
    """A superpacket of UDP is for the user-space plane, for which the kernel cuts it."""
    with joined_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        with closing(streams.udp_socket(one)) as sender:
            sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 1200)
            sender.sendto(bytes(12000), (str(two.inside), 7001))
            sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
            sender.sendto(bytes(1200), (str(two.inside), 7001))
        assert ping(one.container, two.inside)
        assert [len(each.inner) for each in there.seen(PORT) if each.inner[9] == 17] == [1228]


def test_frames_on_the_wire_are_whole_valid_packets_when_the_nic_has_no_offloads() -> None:
    with joined_hosts(offloads=False) as (one, two), tap(two.here, UNDERLAY) as there:
        streams.stream_hashes(one, two, 2 << 20)
        assert ping(one.container, two.inside, more="-s 1444")
        seen = there.seen(PORT)
        assert len(seen) > 1000
        assert {fault for each in seen for fault in each.faults()} == set()
        assert {each.udp[:2] for each in seen} == {PORT.to_bytes(2, "big")}
        idents = [each.outer[4:6] for each in seen]
        assert len(set(idents)) > len(idents) // 4, "fragments of different packets could be mixed up"


def test_superpackets_on_a_virtual_wire_say_their_own_lengths() -> None:
    """There checksums are not made and segments not cut, which only a receiver of the same kind may be sent."""
    with joined_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        streams.stream_hashes(one, two, 2 << 20)
        seen = there.seen(PORT)
        assert max(len(each.frame) for each in seen) > 10000
        faults = {fault for each in seen for fault in each.faults()}
        assert faults <= {"fits the MTU", "inner checksum"}


def test_outer_header_bears_the_inner_tos() -> None:
    with joined_hosts(offloads=False) as (one, two), tap(two.here, UNDERLAY) as there:
        assert ping(one.container, two.inside, more="-Q 0xba")
        assert {each.outer[1] for each in there.seen(PORT)} == {0xBA}


def test_packet_stays_with_the_tun_device_when_the_peer_is_not_fast() -> None:
    with two_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        one.path.attach(one.end, one.table(two.row(fast=False)))
        two.attach(one)
        assert not lone_ping(one.container, two.inside)
        assert there.seen(PORT) == []
        assert one.count(Count.TX_PACKETS) == 0


def test_packet_stays_with_the_tun_device_when_no_row_has_its_destination() -> None:
    with joined_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        assert not lone_ping(one.container, IPv4Address("10.50.9.9"))
        assert there.seen(PORT) == []


def test_packet_stays_with_the_tun_device_when_it_may_not_hop_again() -> None:
    """The user-space plane answers it."""
    with joined_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        assert not lone_ping(one.container, two.inside, more="-t 2")
        assert there.seen(PORT) == []
        assert not lone_ping(one.container, two.inside, more="-t 3"), "the other end takes a hop as well"
        assert len(there.seen(PORT)) == 1
        assert two.count(Count.RX_PACKETS) == 0


def test_longest_prefix_decides_when_subnets_are_nested() -> None:
    with joined_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        wide = TunnelRow(IPv4Network("10.50.0.0/16"), two.address, fast=True)
        slow = TunnelRow(IPv4Network("10.50.2.0/25"), two.address)
        one.path.set_table(one.table(wide, slow))
        assert not lone_ping(one.container, two.inside)
        assert there.seen(PORT) == []
        one.path.set_table(one.table(wide))
        assert not lone_ping(one.container, IPv4Address("10.50.77.1"))
        assert len(there.seen(PORT)) == 1


def test_firewall_sees_unpacked_packets_come_in_on_the_tun_device() -> None:
    with joined_hosts() as (one, two):
        assert ping(one.container, two.inside)
        two.here.run("nft", "-f", "-", stdin=(
            "table ip t { chain c { type filter hook forward priority 0;"
            f" iifname {OVERLAY} oifname pod icmp type echo-request counter drop; }}; }}"
        ))  # fmt: skip
        assert not lone_ping(one.container, two.inside)
        assert "packets 1 " in two.here.run("nft", "list", "ruleset")


def _inject(at: Host, source: IPv4Address, packet: Packet) -> None:
    """A tunnelled packet, as a host may send it whose own filters stop nobody: from a raw socket."""

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            body = PORT.to_bytes(2, "big") * 2 + (8 + len(packet.bytes)).to_bytes(2, "big") + bytes(2)
            outer = Packet(source, IPv4Address("10.99.0.1"), body + packet.bytes)
            raw.sendto(outer.bytes, ("10.99.0.1", 0))

    at.here.do(send)


def test_packet_goes_to_the_socket_when_its_sender_does_not_own_its_source() -> None:
    with joined_hosts() as (one, two), closing(_underlay_socket(one)) as user_space:
        victim = streams.udp_socket(one, 7001)
        stolen = Packet(IPv4Address("10.50.7.7"), one.inside, _udp(7001))
        _inject(two, two.address, stolen)
        assert user_space.recv(2000) == stolen.bytes
        _inject(two, IPv4Address("10.99.0.50"), Packet(two.inside, one.inside, _udp(7001)))
        assert len(user_space.recv(2000)) == len(stolen.bytes), (
            "another host claims to be the peer's container"
        )
        _inject(two, two.address, Packet(two.inside, one.inside, _udp(7001)))
        assert victim.recv(100) == b"hello"
        victim.setblocking(False)
        with pytest.raises(BlockingIOError):
            victim.recv(100)
        victim.close()


def _udp(port: int) -> bytes:
    return port.to_bytes(2, "big") * 2 + (8 + 5).to_bytes(2, "big") + bytes(2) + b"hello"


def _underlay_socket(at: Host) -> socket.socket:
    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(30)
        sock.bind((str(at.address), PORT))
        return sock

    return at.here.do(opened)


def test_fragmented_datagram_goes_to_the_socket_whole() -> None:
    """The programs leave fragments alone, so the stack joins them for the user-space plane."""
    with joined_hosts() as (one, two), closing(_underlay_socket(one)) as user_space:
        large = Packet(two.inside, one.inside, _udp(7001) + bytes(1800))

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind((str(two.address), 0))
                sock.sendto(large.bytes, (str(one.address), PORT))

        two.here.do(send)
        assert user_space.recv(4000) == large.bytes


def test_nothing_is_lost_when_the_table_changes_all_the_time() -> None:
    with joined_hosts() as (one, two):
        assert ping(one.container, two.inside)

        def change(number: int) -> None:
            for each, other in ((one, two), (two, one)):
                each.path.set_table(each.table(other.row(), *(_MANY if number % 2 else ())))

        assert streams.lost_datagrams(one, two, change, count=300) == 0


def test_nothing_is_lost_when_the_filters_are_replaced() -> None:
    with joined_hosts() as (one, two):
        assert ping(one.container, two.inside)

        def replace(number: int) -> None:
            if number % 10 == 0:
                one.attach(two)
                two.attach(one)

        assert streams.lost_datagrams(one, two, replace, count=200) == 0
        assert one.path.standing(one.end)


def test_packet_goes_by_a_gateway_when_the_peer_is_beyond_it() -> None:
    with joined_hosts() as (one, two), tap(two.here, UNDERLAY) as there:
        beyond = IPv4Address("10.98.0.7")
        one.here.ip(f"route add {beyond}/32 via {two.address}")
        one.path.set_table(one.table(TunnelRow(two.subnet, beyond, fast=True)))
        assert not lone_ping(one.container, two.inside)
        assert [each.outer[16:20] for each in there.seen(PORT)] == [beyond.packed]
