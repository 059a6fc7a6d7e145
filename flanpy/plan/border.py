"""Guarded ranges, which no route of ours may take: this host's paths to etcd, its gateways, and its neighbours.

Every etcd writer can change leases and network; a lease that holds an endpoint's address would cut the host off from
etcd, and so from every fix in etcd. Owns the guarded ranges and two checks: whether a subnet holds any of them, and
whether a route takes precedence over the host's own route. Pure.

A network may contain what is guarded (flannel's documented `10.0.0.0/8` contains the hosts), a lease may not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from flanpy.model.address import IPAddress, IPNetwork, is_within
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import KernelObject, Route
from flanpy.model.world import World
from flanpy.plan.next_hop import RouteTable
from flanpy.plan.space import numbers


@dataclass(frozen=True, slots=True)
class Guarded:
    """A range of addresses that our routes must leave alone. `what` describes it for people.

    `held`: prefix length of the host's own route there, -1 without one; a route of ours that is as long takes over.
    `within`: the operator allows subnets of these ranges there.
    """

    version: int
    first: int
    last: int
    what: str
    held: int
    within: tuple[IPNetwork, ...] = ()

    @property
    def range(self) -> IPNetwork:
        """Return the range as a network."""
        length = (32 if self.version == 4 else 128) - (self.last - self.first).bit_length()
        kind = IPv4Network if self.version == 4 else IPv6Network
        return kind((self.first, length))


def guarded(world: World) -> tuple[Guarded, ...]:
    """Return everything this host must reach regardless of the content of etcd, each once."""
    table = RouteTable.of(world.facts.routes)
    found = {(one.version, one.first, one.last): one for one in _connected(world)}
    for address, what in (*_gateways(world), *_endpoints(world)):
        hop = table.next_hop(address)
        held = hop.destination.prefixlen if hop is not None else -1
        number = int(address)
        found[address.version, number, number] = Guarded(address.version, number, number, what, held)
    return tuple(found.values())


def same_borders(old: World, new: World) -> bool:
    """Report whether both worlds guard the same ranges."""
    if old.facts is new.facts and old.etcd is new.etcd:
        return True
    return guarded(old) == guarded(new)


def holds(start: int, end: int, borders: Iterable[Guarded], subnet: IPNetwork) -> Guarded | None:
    """Return the first guarded range that shares an address with the subnet from `start` to `end`."""
    version = subnet.version
    for one in borders:
        shared = one.first <= end and start <= one.last and one.version == version
        if shared and not any(is_within(subnet, meant) for meant in one.within):
            return one
    return None


def covering(range_: IPNetwork, borders: Iterable[Guarded]) -> Guarded | None:
    """Return the guarded range that holds all of `range_`, unless the operator allows that."""
    for one in borders:
        meant = any(is_within(range_, meant) for meant in one.within)
        if not meant and is_within(range_, one.range):
            return one
    return None


def held_by(key: SubnetKey, borders: Iterable[Guarded]) -> Guarded | None:
    """Return the first guarded range that any subnet of a key shares an address with."""
    for subnet in key.subnets:
        if (found := holds(*numbers(subnet), borders, subnet)) is not None:
            return found
    return None


def wins(destination: IPNetwork, borders: Iterable[Guarded]) -> Guarded | None:
    """Return the first guarded range where a route to `destination` takes over a part from the host's own route."""
    start, end = numbers(destination)
    for one in borders:
        if destination.version == one.version and one.first <= end and start <= one.last:
            meant = any(is_within(destination, range_) for range_ in one.within)
            if destination.prefixlen >= one.held and not meant:
                return one
    return None


def stealing(objects: Iterable[KernelObject], borders: tuple[Guarded, ...]) -> Iterator[Route]:
    """Return the routes among `objects` that take over one of the host's own paths."""
    for obj in objects:
        if isinstance(obj, Route) and wins(obj.destination, borders) is not None:
            yield obj


def _connected(world: World) -> Iterator[Guarded]:
    """Return the networks of the underlay's link: other hosts, gateways and servers that are not named anywhere."""
    underlay = world.facts.underlay
    if underlay is None:
        return
    for route in world.facts.routes:
        to = route.destination
        if route.link != underlay.link or route.gateway is not None or not to.prefixlen:
            continue
        if any(address.version == to.version and address in to for address in world.facts.addresses):
            what = f"the network {to} of this host's underlay {underlay.link}"
            meant = tuple(one for one in world.policy.allowed_networks if is_within(one, to))
            yield Guarded(to.version, *numbers(to), what, to.prefixlen, meant)


def _gateways(world: World) -> Iterator[tuple[IPAddress, str]]:
    """Return the gateways of the underlay's link, and those of all default routes."""
    underlay = world.facts.underlay
    for route in world.facts.routes:
        if route.gateway is None or route.gateway.is_link_local:
            continue
        if not route.destination.prefixlen:
            yield route.gateway, f"{route.gateway}, this host's default gateway"
        elif underlay is not None and route.link == underlay.link:
            yield route.gateway, f"{route.gateway}, this host's gateway to {route.destination}"


def _endpoints(world: World) -> Iterator[tuple[IPAddress, str]]:
    for one in world.etcd:
        if not one.address.is_loopback:
            yield one.address, f"{one.address}, the address of etcd's endpoint {one.endpoint}"
