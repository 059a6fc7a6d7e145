"""Objects seen before, by their identity on the wire, so that a read-back creates only the new ones.

A read-back of 10,000 peers yields 30,000 objects; making them is most of its cost, and the planner compares an
object with itself at no cost. Each read-back starts a new Recall from the last, so objects that are gone are forgotten.
Must not: decide anything; a Recall may be emptied at any time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from flanpy.kernel.entries import kernel_metric
from flanpy.model.address import IPAddress, Mac
from flanpy.model.objects import FdbEntry, KernelObject, Key, Neighbour, Route

NeighbourWire = tuple[str, bytes, bytes]
"""link, address, MAC; in an FDB: link, MAC, destination."""
RouteWire = tuple[str, bytes, int, bytes | None, int, int, int, bool]
"""link, destination, its length, gateway, metric, table, protocol, onlink."""

Known = tuple[Key, KernelObject]


@dataclass(slots=True)
class Recall:
    neighbours: dict[NeighbourWire, Known] = field(default_factory=dict)
    fdb: dict[NeighbourWire, Known] = field(default_factory=dict)
    routes: dict[RouteWire, Known] = field(default_factory=dict)
    macs: dict[bytes, Mac] = field(default_factory=dict)
    addresses: dict[bytes, IPAddress] = field(default_factory=dict)

    def mac(self, packed: bytes) -> Mac:
        """A peer's MAC stands in its neighbour and in its FDB entry: one object for both."""
        mac = self.macs.get(packed)
        if mac is None:
            mac = self.macs[packed] = Mac(packed)
        return mac

    def address(self, packed: bytes) -> IPAddress:
        """A peer's VTEP address stands in its neighbour and as its route's gateway."""
        address = self.addresses.get(packed)
        if address is None:
            address = IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
            self.addresses[packed] = address
        return address

    def remember(self, obj: KernelObject) -> None:
        """Have the next read-back return this very object where it finds an equal one."""
        match obj:
            case Neighbour(link, address, mac):
                self.neighbours[link, address.packed, mac.packed] = (obj.key, obj)
            case FdbEntry(link, mac, destination):
                self.fdb[link, mac.packed, destination.packed] = (obj.key, obj)
            case Route():
                self.routes[_route_wire(obj)] = (obj.key, obj)
            case _:
                pass


def _route_wire(route: Route) -> RouteWire:
    destination = route.destination
    return (
        route.link,
        destination.network_address.packed,
        destination.prefixlen,
        None if route.gateway is None else route.gateway.packed,
        kernel_metric(route),
        route.table,
        route.proto,
        route.onlink,
    )
