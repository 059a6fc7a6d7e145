"""The ipip backend: flannel's device, and a route through it to each peer. No port, no key, 20 bytes; IPv4 only.

The gateway of a peer's route *is* the far end of the tunnel, so a peer needs no neighbour and no FDB entry. With
DirectRouting a peer on the same L2 segment gets a plain route through its public address instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface

from flanpy.backend.advert import plain_record
from flanpy.backend.direct import DirectRoutes
from flanpy.backend.options import Reader
from flanpy.backend.way import Way, WayKind, Ways, one_way
from flanpy.model.address import Family
from flanpy.model.ipip import OVERHEAD, IpipLink
from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.objects import Address, KernelObject, LinkUp, Route
from flanpy.model.world import World
from flanpy.plan.host_settings import link_settings
from flanpy.plan.ipv6_room import Narrow

LINK = "flannel.ipip"


def read_direct_routing(raw: Mapping[str, object]) -> bool:
    """Read the one option. Raises ConfigError that names the option and its value."""
    return Reader("ipip", raw).boolean("DirectRouting")


@dataclass(frozen=True, slots=True)
class IpipPeerPlanner:
    """Implements `plan.desired.PeerPlanner`. `direct` is None without DirectRouting: host routes are then unused."""

    fixed: tuple[KernelObject, ...] = field(compare=False)
    direct: DirectRoutes | None

    def peer(self, lease: Lease) -> Iterator[Route]:
        subnet, public = lease.key.subnet, lease.record.public_ip
        if subnet is None or public is None:
            return
        direct = self.direct.route(subnet, public) if self.direct is not None else None
        yield direct or Route(subnet, LINK, public, onlink=True)

    def unreached(self, lease: Lease) -> bool:
        """Report no peer as unreached: the tunnel needs only a route to the peer, which may come at any moment."""
        return False


class IpipBackend:
    """Implements `backend.port.Backend`."""

    cure = ""

    def validate(self, options: Mapping[str, object]) -> None:
        read_direct_routing(options)

    def links(self, world: World) -> frozenset[str]:
        return frozenset({LINK}) if world.network is not None else frozenset()

    def mtu(self, world: World) -> int:
        underlay = world.facts.underlay
        return underlay.mtu - OVERHEAD if underlay is not None else 0

    def advertise(self, world: World) -> LeaseRecord | None:
        return plain_record(world, "ipip")

    def planner(self, world: World) -> IpipPeerPlanner | None:
        network, own, underlay = world.network, world.own, world.facts.underlay
        if network is None or network.network is None or own is None or underlay is None:
            return None
        local = underlay.local(Family.IPV4)
        if own.key.subnet is None or not isinstance(local, IPv4Address):
            return None
        fixed: tuple[KernelObject, ...] = (
            IpipLink(LINK, local, underlay.mtu - OVERHEAD),
            *link_settings(world, Family.IPV4, LINK),
            # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
            Address(LINK, IPv4Interface((own.key.subnet.network_address, 32))),
            LinkUp(LINK),
        )
        direct = DirectRoutes.of(world) if read_direct_routing(network.backend_options) else None
        return IpipPeerPlanner(fixed, direct)

    def narrow(self, world: World) -> Narrow | None:
        """Return no reason: the backend carries no IPv6 on any host."""
        return None

    def ways(self, world: World) -> Ways:
        if world.network is None or not read_direct_routing(world.network.backend_options):
            return one_way(WayKind.TUNNEL)
        direct = DirectRoutes.of(world)
        return lambda lease: _way(direct, lease)


def _way(direct: DirectRoutes, lease: Lease) -> Way:
    public = lease.record.public_ip
    if public is None:
        return Way((WayKind.NONE,))
    kind = WayKind.TUNNEL if direct.table.on_link(public) is None else WayKind.DIRECT
    return Way((kind,), direct.explain(public))
