"""An underlay without a link layer (a tunnel, a point-to-point link): packets start with the outer IP header there."""

from __future__ import annotations

import fcntl
import os
import select
import struct
from contextlib import closing
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.errors import KernelError
from flanpy.model.tunnel import Count, TunnelTable
from flanpy.udp.bpf.fast_path import wire
from flanpy.udp.bpf.netlink import Link
from tests.netns import Namespace
from tests.udp.bpf import streams
from tests.udp.bpf.frames import Datagram, Packet, checksum
from tests.udp.bpf.hosts import UNDERLAY, host

pytestmark = pytest.mark.netns

_TUNSETIFF, _TUN_WITHOUT_HEADER = 0x400454CA, 0x1001


def _open_tun(at: Namespace, name: str) -> int:
    def opened() -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _TUN_WITHOUT_HEADER))
        return descriptor

    return at.do(opened)


def _read(descriptor: int, protocol: int) -> bytes:
    """The next packet of this kind that leaves on the device."""
    while select.select([descriptor], [], [], 30)[0]:
        packet = os.read(descriptor, 1 << 16)
        if packet[0] == 0x45 and packet[9] == protocol:
            return packet
    raise AssertionError("nothing left on the device")


def test_packets_pass_over_an_underlay_without_link_layer() -> None:
    with host(1) as one, host(2) as two, closing(streams.udp_socket(one, 7001)) as container:
        cable = _open_tun(one.here, UNDERLAY)
        try:
            one.here.ip(f"addr add {one.address}/24 dev {UNDERLAY}")
            one.here.ip(f"link set {UNDERLAY} up")
            one.attach(two)
            container.sendto(b"there", (str(two.inside), 7001))
            sent = _read(cable, 17)
            assert checksum(sent[:20]) == 0
            assert (sent[12:16], sent[16:20]) == (one.address.packed, two.address.packed)
            assert sent[28:][16:20] == two.inside.packed
            assert sent.endswith(b"there")

            inner = Packet(two.inside, one.inside, struct.pack("!HHHH", 7001, 7001, 12, 0) + b"back")
            outer = Packet(two.address, one.address)
            os.write(cable, Datagram(inner, outer, ethernet=b"").frame)
            assert container.recv(100) == b"back"
            assert one.count(Count.RX_PACKETS) == one.count(Count.TX_PACKETS) == 1
        finally:
            os.close(cable)


def test_underlay_is_refused_when_its_link_layer_is_not_known() -> None:
    table = TunnelTable(IPv4Address("10.99.0.1"), 8285, 1472, IPv4Network("10.50.1.0/24"))
    infiniband = Link(3, "ib0", 32)
    with pytest.raises(KernelError, match=r"link layer of ib0 \(ARPHRD type 32\) .* --udp-plane user"):
        wire(table, Link(2, "flannel0", 0xFFFE), infiniband, peers=0, counters=0)
