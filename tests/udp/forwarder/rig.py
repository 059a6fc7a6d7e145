"""Two hosts with a tunnel between their TUN devices, each end a forwarder of its own: real namespaces, real kernel."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.tunnel import TunnelRow, TunnelTable
from flanpy.udp.forwarder.process import ForwarderProcess
from flanpy.udp.forwarder.tun import open_queues
from flanpy.udp.sockets import open_socket
from tests.netns import Namespace, namespace

PORT = 8285
LINK = "flannel0"
MTU = 1472
NETWORK = IPv4Network("10.50.0.0/16")


@dataclass
class End:
    """One host. Its container-side address is on the TUN device itself."""

    number: int
    here: Namespace
    queues: tuple[int, ...] = ()
    socket: socket.socket | None = None
    process: ForwarderProcess | None = field(default=None)

    @property
    def public(self) -> IPv4Address:
        return IPv4Address(f"10.99.0.{self.number}")

    @property
    def subnet(self) -> IPv4Network:
        return IPv4Network(f"10.50.{self.number}.0/24")

    @property
    def address(self) -> str:
        return str(self.subnet.network_address)

    def table(self, *others: End) -> TunnelTable:
        rows = tuple(TunnelRow(other.subnet, other.public) for other in others)
        return TunnelTable(self.public, PORT, MTU, self.subnet, rows)

    def make_device(self, *, address: bool = True) -> None:
        self.here.ip(f"tuntap add {LINK} mode tun vnet_hdr multi_queue")
        self.here.ip(f"link set {LINK} mtu {MTU} up")
        self.here.sysctl(f"net/ipv4/conf/{LINK}/accept_local", "1")  # for ICMP errors of our own
        if address:
            self.here.ip(f"addr add {self.address}/32 dev {LINK}")
            self.here.ip(f"route add {NETWORK} dev {LINK}")

    def open(self) -> None:
        self.queues = self.here.do(lambda: open_queues(LINK))
        self.socket = self.here.do(lambda: open_socket(self.public, PORT))

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
        for queue in self.queues:
            os.close(queue)
        if self.socket is not None:
            self.socket.close()

    async def start(self, *others: End) -> None:
        self.open()
        assert self.socket is not None
        self.process = await ForwarderProcess.spawn(self.queues, self.socket)
        await self.process.set_table(self.table(*others), 1)


@contextmanager
def two_hosts() -> Iterator[tuple[End, End]]:
    """Two hosts on one wire; no tunnel yet."""
    with ExitStack() as stack:
        one, two = (End(n, stack.enter_context(namespace(f"u{n}"))) for n in (1, 2))
        one.here.ip(f"link add eth0 type veth peer name eth0 netns {two.here.name}")
        for end in (one, two):
            stack.callback(end.close)
            end.here.ip(f"addr add {end.public}/24 dev eth0")
            end.here.ip("link set eth0 up")
        yield one, two


@asynccontextmanager
async def tunnel() -> AsyncIterator[tuple[End, End]]:
    """Two hosts whose forwarders run."""
    async with AsyncExitStack() as stack:
        one, two = stack.enter_context(two_hosts())
        for end in (one, two):
            end.make_device()
        await one.start(two)
        await two.start(one)
        yield one, two
