"""Two hosts whose containers sit behind a bridge and reach each other over VXLAN, with the fast path's programs.

No daemon runs: a test vouches for the programs as it likes, for a time that it names.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from flanpy.fastpath.layout import Paths
from flanpy.fastpath.maps import FlowMaps, Word
from flanpy.fastpath.programs import Programs
from flanpy.model.fast_path import FastCounts
from flanpy.udp.bpf.netlink import Link, TrafficControl
from tests.netns import Namespace, namespace

PORT, VNI, MTU = 8472, 1, 1450
OVERLAY, UNDERLAY, BRIDGE, VETH = "flannel.1", "eth0", "docker0", "veth1"
NETWORK = IPv4Network("10.50.0.0/16")
_LONG_NS = 3_600_000_000_000


@dataclass
class Host:
    """Number 1 has the underlay address 10.99.0.1 and the subnet 10.50.1.0/24, its container 10.50.1.2."""

    number: int
    here: Namespace
    container: Namespace
    control: TrafficControl
    maps: FlowMaps
    generation: int = 1
    loaded: list[Programs] = field(default_factory=list)

    @property
    def address(self) -> IPv4Address:
        return IPv4Address(f"10.99.0.{self.number}")

    @property
    def subnet(self) -> IPv4Network:
        return IPv4Network(f"10.50.{self.number}.0/24")

    @property
    def inside(self) -> IPv4Address:
        return self.subnet[2]

    @property
    def vtep_mac(self) -> str:
        return f"0e:00:00:00:00:0{self.number}"

    def link(self, name: str) -> Link:
        found = self.control.link(name)
        assert found is not None
        return found

    def attach(self, *veths: str) -> None:
        """Put the programs in place, and vouch for them for long."""
        paths = Paths(
            underlay=self.link(UNDERLAY).index, local=self.address, port=PORT, vni=VNI,
            network=NETWORK, own=self.subnet, config=self.maps.config, out=self.maps.out, into=self.maps.into,
            met=self.maps.met, peers=self.maps.peers,
        )  # fmt: skip
        programs = Programs(self.control, paths)
        self.loaded.append(programs)
        programs.attach(self.link(UNDERLAY), [self.link(name) for name in veths or (VETH,)])
        self.vouch()

    def let_go(self) -> None:
        for programs in self.loaded:
            programs.close()

    def vouch(self, generation: int | None = None, *, for_ns: int = _LONG_NS) -> None:
        self.generation = self.generation if generation is None else generation
        self.maps.vouch(Word(self.generation, time.monotonic_ns() + for_ns, MTU, MTU))

    def forget(self) -> None:
        """Empty the cache."""
        self.vouch(self.generation + 1)

    def counts(self, peer: Host) -> FastCounts:
        return self.maps.counts().get(peer.address, FastCounts())

    def peer_with(self, other: Host) -> None:
        """Do what flanpyd does for a peer."""
        gateway = other.subnet[0]
        self.here.ip(f"neigh add {gateway} lladdr {other.vtep_mac} dev {OVERLAY} nud permanent")
        self.here.bridge(f"fdb add {other.vtep_mac} dev {OVERLAY} dst {other.address}")
        self.here.ip(f"route add {other.subnet} via {gateway} dev {OVERLAY} onlink")


def _add_container(here: Namespace, container: Namespace, host: Host) -> None:
    here.ip(f"link add {VETH} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {container.name}")
    here.ip(f"link set {VETH} master {BRIDGE} up")
    container.ip(f"addr add {host.inside}/24 dev eth0")
    container.ip("link set eth0 up")
    container.ip(f"route add default via {host.subnet[1]}")


@contextmanager
def host(number: int) -> Iterator[Host]:
    """A host without an underlay yet."""
    with ExitStack() as stack:
        here = stack.enter_context(namespace(f"h{number}"))
        container = stack.enter_context(namespace(f"c{number}"))
        here.sysctl("net/ipv4/ip_forward", "1")
        made = Host(number, here, container, here.do(TrafficControl), FlowMaps())
        stack.callback(made.control.close)
        stack.callback(made.maps.close)
        stack.callback(made.let_go)
        here.ip(f"link add {BRIDGE} mtu {MTU} type bridge")
        here.ip(f"addr add {made.subnet[1]}/24 dev {BRIDGE}")
        here.ip(f"link set {BRIDGE} up")
        _add_container(here, container, made)
        yield made


@contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts joined by a cable, peers of each other, with no programs yet."""
    with host(1) as one, host(2) as two:
        one.here.ip(f"link add {UNDERLAY} type veth peer name {UNDERLAY} netns {two.here.name}")
        for each, other in ((one, two), (two, one)):
            each.here.ip(f"addr add {each.address}/24 dev {UNDERLAY}")
            each.here.ip(f"link set {UNDERLAY} up")
            each.here.ip(
                f"link add {OVERLAY} address {each.vtep_mac} mtu {MTU} type vxlan id {VNI} dstport {PORT} "
                f"local {each.address} dev {UNDERLAY} nolearning"
            )
            each.here.ip(f"addr add {each.subnet[0]}/32 dev {OVERLAY}")
            each.here.ip(f"link set {OVERLAY} up")
            each.peer_with(other)
        yield one, two


@contextmanager
def fast_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts with the programs in place."""
    with two_hosts() as (one, two):
        one.attach()
        two.attach()
        yield one, two
