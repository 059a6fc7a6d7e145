"""Where the host's own routing table sends an address: longest prefix first, then lowest metric."""

from __future__ import annotations

from collections.abc import Iterable

from flanpy.model.address import IPAddress
from flanpy.model.facts import HostRoute


def next_hop(address: IPAddress, routes: Iterable[HostRoute]) -> HostRoute | None:
    """The route of the host that leads to `address`; None if there is none. O(routes)."""
    matching = [r for r in routes if r.destination.version == address.version and address in r.destination]
    return min(matching, key=lambda r: (-r.destination.prefixlen, r.metric), default=None)


def on_link(address: IPAddress, routes: Iterable[HostRoute]) -> HostRoute | None:
    """The route to `address` if it needs no gateway (flannel's test for DirectRouting)."""
    route = next_hop(address, routes)
    return route if route is not None and route.gateway is None else None
