"""The udp backend: flannel's wire format, one bare inner IPv4 packet in each datagram.

One TUN device `flannel0` with a route to the whole network; from there the data plane forwards packets by a table of
all peers. IPv4 only, as in flannel. A peer gets packets that only the in-kernel plane can receive (segments not yet
cut, checksums not yet made) only if its lease says that it has that plane, which flannel's never does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from flanpy.backend.advert import public_addresses
from flanpy.backend.options import Reader
from flanpy.backend.way import WayKind, Ways, one_way
from flanpy.model.address import Family
from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.objects import (
    Address,
    KernelObject,
    LinkSysctl,
    LinkUp,
    Route,
    TunLink,
    TunnelEnd,
    TunnelPeer,
)
from flanpy.model.tunnel import HEADERS
from flanpy.model.world import World
from flanpy.plan.border import guarded, wins
from flanpy.plan.host_settings import link_settings
from flanpy.plan.ipv6_room import Narrow
from flanpy.plan.next_hop import RouteTable
from flanpy.plan.space import numbers

LINK = "flannel0"
DEFAULT_PORT = 8285

ROUTE_METRIC = 100
"""Not the first choice: flanneld leaves a route of its own kind that is there already as it is, whatever device that
leads to, so a host that goes back to flannel would send nothing. With a metric both stand, and flannel's wins."""


def read_port(raw: Mapping[str, object]) -> int:
    """Read the UDP port of the Backend object. Raises ConfigError that names the option, its value and the valid
    range."""
    return Reader("udp", raw).integer("Port", DEFAULT_PORT, low=0, high=65535) or DEFAULT_PORT


@dataclass(frozen=True, slots=True)
class UdpPeerPlanner:
    """Implements `plan.desired.PeerPlanner`. `table` is None without an in-kernel plane: only that one needs routes.

    That plane sends out on the underlay link without asking the routing table, so only for peers behind that link.
    `narrow`: each peer has a route of its own, as one to the whole network would take over a path that the host needs.
    """

    fixed: tuple[KernelObject, ...] = field(compare=False)
    underlay: str
    table: RouteTable | None
    narrow: bool = False

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        record = lease.record
        if lease.key.subnet is not None and record.public_ip is not None:
            fast = record.fast_path and self._is_behind_underlay(record.public_ip)
            yield TunnelPeer(LINK, lease.key.subnet, record.public_ip, fast)
            if self.narrow:
                yield Route(lease.key.subnet, LINK)

    def _is_behind_underlay(self, address: IPv4Address) -> bool:
        route = self.table.next_hop(address) if self.table is not None else None
        return route is not None and route.link == self.underlay

    def heard(self, lease: Lease) -> Iterator[TunnelPeer]:
        """Yield the entry that lets a peer send to us by this tunnel, though packets to it may take another path.

        The entry allows for the in-kernel plane at the peer if we have it: either of our planes can then receive its
        packets.
        """
        if lease.key.subnet is not None and lease.record.public_ip is not None:
            yield TunnelPeer(LINK, lease.key.subnet, lease.record.public_ip, self.table is not None)

    def unreached(self, lease: Lease) -> bool:
        """Report no peer as unreached: the tunnel needs only a route to the peer, which may come at any moment."""
        return False


class UdpBackend:
    """Implements `backend.port.Backend`."""

    cure = ""

    def validate(self, options: Mapping[str, object]) -> None:
        read_port(options)

    def links(self, world: World) -> frozenset[str]:
        return frozenset({LINK}) if world.network is not None else frozenset()

    def mtu(self, world: World) -> int:
        underlay = world.facts.underlay
        return underlay.mtu - HEADERS if underlay is not None else 0

    def advertise(self, world: World) -> LeaseRecord | None:
        """Return the record without BackendType and BackendData, as flannel's; with our own `FastPath`."""
        public = public_addresses(world)
        if public is None:
            return None
        policy = world.policy
        return LeaseRecord(
            public.ip,
            node_id=policy.node_id,
            fast_path=policy.fast_path and policy.fast_path_offered,
            host_name=policy.host_name,
        )

    def planner(self, world: World) -> UdpPeerPlanner | None:
        network, own, underlay = world.network, world.own, world.facts.underlay
        if network is None or network.network is None or own is None or underlay is None:
            return None
        if own.key.subnet is None or underlay.address is None:
            return None
        subnet, fast = own.key.subnet, world.policy.fast_path
        end = TunnelEnd(
            link=LINK,
            underlay=underlay.link,
            local=underlay.address,
            port=read_port(network.backend_options),
            mtu=underlay.mtu - HEADERS,
            own=subnet,
            fast=fast,
            quiet=fast and world.policy.fast_path_quiet,
        )
        fixed: tuple[KernelObject, ...] = (
            TunLink(LINK, end.mtu),
            *link_settings(world, Family.IPV4, LINK),
            # what cannot be forwarded is answered by ICMP from our own address, which comes in here
            LinkSysctl(Family.IPV4, LINK, "accept_local", "1"),
            # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
            Address(LINK, IPv4Interface((subnet.network_address, 32))),
            LinkUp(LINK),
            end,
        )
        table = RouteTable.of(world.facts.routes)
        narrow = _takes_a_way(network.network, world, table)
        if not narrow:
            fixed = (*fixed, Route(network.network, LINK, metric=ROUTE_METRIC))
        return UdpPeerPlanner(fixed, underlay.link, table if fast else None, narrow)

    def narrow(self, world: World) -> Narrow | None:
        """Return no reason: the backend carries no IPv6 on any host."""
        return None

    def ways(self, world: World) -> Ways:
        return one_way(WayKind.TUNNEL)


def _takes_a_way(network: IPv4Network, world: World, table: RouteTable) -> bool:
    """Report whether a route to the whole network beats the host's own to a guarded range or a peer's public
    address."""
    if wins(network, guarded(world)) is not None:
        return True
    first, last = numbers(network)
    inside = [
        public
        for lease in world.view.leases.values()
        if (public := lease.record.public_ip) is not None and first <= int(public) <= last
    ]
    hops = map(table.next_hop, inside)
    return any(hop is None or hop.destination.prefixlen <= network.prefixlen for hop in hops)
