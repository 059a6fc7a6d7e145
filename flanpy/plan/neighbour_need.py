"""The number of hosts whose address this host must resolve on its own links to reach all peers (P20)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flanpy.model.address import Family, IPAddress
from flanpy.model.lease import Lease
from flanpy.model.world import World
from flanpy.plan.next_hop import RouteTable


def neighbour_need(world: World, peers: Iterable[Lease]) -> Mapping[Family, int]:
    """Count per family: each peer on a common link, and all peers behind one gateway as one."""
    table = RouteTable.of(world.facts.routes)
    hops: dict[Family, set[IPAddress]] = {family: set() for family in Family}
    for peer in peers:
        for family in Family:
            public = peer.record.public(family)
            if public is None:
                continue
            route = table.next_hop(public)
            if route is not None:
                hops[family].add(route.gateway or public)
    return {family: len(found) for family, found in hops.items()}
