"""Hosts with the in-kernel plane and nothing else: each a network namespace, with a container in another one.

No process holds the TUN devices, so a packet that a program leaves alone goes nowhere: what arrives came through the
programs. That the user-space plane takes the rest is shown where both run, in tests/lab.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.objects import TunnelEnd
from flanpy.model.tunnel import Count, TunnelRow, TunnelTable
from flanpy.udp.bpf.fast_path import BpfFastPath
from flanpy.udp.bpf.netlink import TrafficControl
from tests.netns import Namespace, namespace

PORT = 8285
MTU = 1472
OVERLAY, UNDERLAY = "flannel0", "eth0"

_SIOCETHTOOL = 0x8946
_OFFLOADS = {"rx": 0x15, "tx": 0x17, "sg": 0x19, "tso": 0x1F, "gso": 0x24, "gro": 0x2C}
"""What `ethtool -K` switches, by the commands of linux/ethtool.h."""


@dataclass
class Host:
    """Number 1 has the underlay address 10.99.0.1 and the subnet 10.50.1.0/24, its container 10.50.1.2."""

    number: int
    here: Namespace
    container: Namespace
    path: BpfFastPath

    @property
    def address(self) -> IPv4Address:
        return IPv4Address(f"10.99.0.{self.number}")

    @property
    def subnet(self) -> IPv4Network:
        return IPv4Network(f"10.50.{self.number}.0/24")

    @property
    def inside(self) -> IPv4Address:
        """The container's address."""
        return self.subnet[2]

    @property
    def end(self) -> TunnelEnd:
        return TunnelEnd(OVERLAY, UNDERLAY, self.address, PORT, MTU, self.subnet, fast=True)

    def table(self, *rows: TunnelRow) -> TunnelTable:
        return TunnelTable(self.address, PORT, MTU, self.subnet, rows)

    def row(self, *, fast: bool = True) -> TunnelRow:
        """This host as its peers see it."""
        return TunnelRow(self.subnet, self.address, fast)

    def attach(self, *peers: Host) -> None:
        self.path.attach(self.end, self.table(*(peer.row() for peer in peers)))

    def count(self, count: Count) -> int:
        return self.path.counters()[count]


def ping(source: Namespace, to: IPv4Address, *, more: str = "") -> bool:
    """Report whether all of a few pings were answered."""
    return " 3 received" in source.run(*f"ping -n -q -i 0.05 -W 30 -c 3 {more} {to}".split(), check=False)


def lone_ping(source: Namespace, to: IPv4Address, *, more: str = "") -> bool:
    """Report whether a single ping was answered: for those that should not be, as the wait is short."""
    return " 1 received" in source.run(*f"ping -n -q -W 1 -c 1 {more} {to}".split(), check=False)


@contextmanager
def host(number: int, *, segments: bool = True) -> Iterator[Host]:
    """A host without an underlay yet. `segments`: whether its container's veth passes superpackets."""
    with ExitStack() as stack:
        here = stack.enter_context(namespace(f"h{number}"))
        container = stack.enter_context(namespace(f"c{number}"))
        for name in ("all", "default"):
            here.sysctl(f"net/ipv4/conf/{name}/rp_filter", "2")
        here.sysctl("net/ipv4/ip_forward", "1")
        here.ip(f"tuntap add {OVERLAY} mode tun")
        here.ip(f"link set {OVERLAY} mtu {MTU} up")
        here.ip(f"addr add 10.50.{number}.0/32 dev {OVERLAY}")
        here.ip(f"route add 10.50.0.0/16 dev {OVERLAY}")
        here.ip(f"link add pod mtu {MTU} type veth peer name eth0 mtu {MTU} netns {container.name}")
        here.ip(f"addr add 10.50.{number}.1/24 dev pod")
        here.ip("link set pod up")
        container.ip(f"addr add 10.50.{number}.2/24 dev eth0")
        container.ip("link set eth0 up")
        container.ip(f"route add default via 10.50.{number}.1")
        if not segments:
            switch_offloads(here, "pod")
            switch_offloads(container, "eth0")
        control = here.do(TrafficControl)
        stack.callback(control.close)
        yield Host(number, here, container, BpfFastPath(control))


@contextmanager
def two_hosts(*, offloads: bool = True, segments: bool = True) -> Iterator[tuple[Host, Host]]:
    """Two hosts joined by a cable. Without `offloads`, what is on it is cut and summed as on a real wire."""
    with host(1, segments=segments) as one, host(2, segments=segments) as two:
        one.here.ip(f"link add {UNDERLAY} type veth peer name {UNDERLAY} netns {two.here.name}")
        for each in (one, two):
            each.here.ip(f"addr add {each.address}/24 dev {UNDERLAY}")
            if not offloads:
                switch_offloads(each.here, UNDERLAY)
            each.here.ip(f"link set {UNDERLAY} up")
        yield one, two


@contextmanager
def joined_hosts(*, offloads: bool = True, segments: bool = True) -> Iterator[tuple[Host, Host]]:
    """Two hosts that have each other as a fast peer."""
    with two_hosts(offloads=offloads, segments=segments) as (one, two):
        one.attach(two)
        two.attach(one)
        yield one, two


def udp_socket(at: Namespace, address: IPv4Address, port: int = 0) -> socket.socket:
    """A bound UDP socket in a namespace."""

    def opened() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(30)
        sock.bind((str(address), port))
        return sock

    return at.do(opened)


def switch_offloads(at: Namespace, link: str, *, on: bool = False) -> None:
    """Switch all offloads: checksums, scatter-gather and segmentation."""

    def work() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for command in _OFFLOADS.values():
                value = ctypes.create_string_buffer(struct.pack("=II", command, on), 8)
                request = struct.pack("16sQ16x", link.encode(), ctypes.addressof(value))
                fcntl.ioctl(sock, _SIOCETHTOOL, request)

    at.do(work)
