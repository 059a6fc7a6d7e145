"""The host-gw backend: every peer is the gateway to its own subnet. No device, no encapsulation, the underlay's MTU.

It needs all hosts on one L2 segment. flannel refuses nothing and lets the kernel fail; here a peer that is not on-link
gets no route, and is reported together with the gateway in between (P18).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flanpy.backend.advert import plain_record
from flanpy.backend.direct import DirectRoutes
from flanpy.backend.linkless import Linkless
from flanpy.backend.way import Way, WayKind, Ways, joined
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.objects import KernelObject
from flanpy.model.world import World
from flanpy.plan.ipv6_room import carried

CURE = (
    "put all hosts on one L2 segment, or have a tunnel where there is a gateway in between:"
    ' Backend {"Type": "vxlan", "DirectRouting": true}'
)


@dataclass(frozen=True, slots=True)
class HostGwPeerPlanner:
    """Implements `plan.desired.PeerPlanner`."""

    families: tuple[Family, ...]
    direct: DirectRoutes

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        """Return no objects: there is no device."""
        return ()

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        for subnet, public in self._parts(lease):
            route = self.direct.route(subnet, public)
            if route is not None:
                yield route

    def unreached(self, lease: Lease) -> bool:
        return any(self.direct.table.on_link(public) is None for _, public in self._parts(lease))

    def way(self, lease: Lease) -> Way:
        """Return how the peer is reached."""
        return joined(
            (WayKind.NONE if self.direct.route(subnet, public) is None else WayKind.DIRECT,
             self.direct.explain(public))
            for subnet, public in self._parts(lease)
        )  # fmt: skip

    def _parts(self, lease: Lease) -> Iterator[tuple[IPNetwork, IPAddress]]:
        for family in self.families:
            subnet, public = lease.key.of(family), lease.record.public(family)
            if subnet is not None and public is not None:
                yield subnet, public


class HostGwBackend(Linkless):
    """Implements `backend.port.Backend`."""

    cure = CURE

    def validate(self, options: Mapping[str, object]) -> None:
        """Accept any options: the backend has none, and flannel ignores them."""

    def advertise(self, world: World) -> LeaseRecord | None:
        return plain_record(world, "host-gw")

    def planner(self, world: World) -> HostGwPeerPlanner | None:
        if world.network is None or world.own is None or world.facts.underlay is None:
            return None
        return HostGwPeerPlanner(carried(world, 0), DirectRoutes.of(world))

    def ways(self, world: World) -> Ways:
        planner = HostGwPeerPlanner(carried(world, 0) if world.network else (), DirectRoutes.of(world))
        return planner.way
