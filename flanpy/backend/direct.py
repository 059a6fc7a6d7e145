"""Peers on a link of ours: reached by a plain route through their public address, without a tunnel.

Used by host-gw for every peer, and by vxlan with DirectRouting where possible. A peer is on-link by flannel's test:
the host's route to its public address has no gateway.
"""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.objects import Route
from flanpy.model.world import World
from flanpy.plan.next_hop import RouteTable


@dataclass(frozen=True, slots=True)
class DirectRoutes:
    """The host's routing table, for lookups of public addresses."""

    table: RouteTable

    @classmethod
    def of(cls, world: World) -> DirectRoutes:
        return cls(RouteTable.of(world.facts.routes))

    def route(self, subnet: IPNetwork, public: IPAddress) -> Route | None:
        """Return the route to a peer's subnet, None if the peer is not on-link."""
        hop = self.table.on_link(public)
        return None if hop is None else Route(subnet, hop.link, public)

    def explain(self, public: IPAddress) -> str:
        """Describe the path to the peer, for people."""
        hop = self.table.next_hop(public)
        if hop is None:
            return f"this host has no route to {public}"
        if hop.gateway is None:
            return f"{public} is on-link on {hop.link}"
        return f"{public} is behind gateway {hop.gateway} on {hop.link}"
