"""Next-hop lookup in the host's own routing table: longest prefix first, then lowest metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flanpy.model.address import IPAddress
from flanpy.model.facts import HostRoute


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The host's routes, indexed for lookups of thousands of addresses.

    `lengths` has for each IP version the prefix lengths in use, longest first, with the best route of each prefix
    by its number (the network address without its host bits).
    """

    lengths: Mapping[int, tuple[tuple[int, Mapping[int, HostRoute]], ...]]

    @classmethod
    def of(cls, routes: Iterable[HostRoute]) -> RouteTable:
        best: dict[int, dict[int, dict[int, HostRoute]]] = {}
        for route in routes:
            destination = route.destination
            prefixes = best.setdefault(destination.version, {}).setdefault(destination.prefixlen, {})
            number = _prefix(
                int(destination.network_address), destination.max_prefixlen, destination.prefixlen
            )
            if number not in prefixes or route.metric < prefixes[number].metric:
                prefixes[number] = route
        return cls({version: tuple(sorted(by.items(), reverse=True)) for version, by in best.items()})

    def next_hop(self, address: IPAddress) -> HostRoute | None:
        """Return the route that leads to `address`; None if there is none."""
        number = int(address)
        for length, prefixes in self.lengths.get(address.version, ()):
            route = prefixes.get(_prefix(number, address.max_prefixlen, length))
            if route is not None:
                return route
        return None

    def on_link(self, address: IPAddress) -> HostRoute | None:
        """Return the route to `address` if it needs no gateway (flannel's test for DirectRouting)."""
        route = self.next_hop(address)
        return route if route is not None and route.gateway is None else None


def next_hop(address: IPAddress, routes: Iterable[HostRoute]) -> HostRoute | None:
    """Return the route among `routes` that leads to `address`; None if there is none."""
    return RouteTable.of(routes).next_hop(address)


def _prefix(number: int, bits: int, length: int) -> int:
    return number >> (bits - length)
