"""Named networks that are linked, on this host, and the rules that let them talk. Pure.

Docker drops what goes from one of its networks into another. The rules come before those and name both bridges and both
subnets, so that nothing else passes by them. What leaves a network is masqueraded, by Docker, and for IPv6 by us, as
Docker up to 26 does not: answers come back to this host, and no host has to see both networks' packets but the one of
the container that asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from flanpy.model.address import Family, IPNetwork
from flanpy.model.networks.links import LinkPort, NetworkLink, Protocol
from flanpy.model.networks.view import Joined
from flanpy.model.packet_filter import Rule, Verdict

_MOST_AT_ONCE = 15
"""Ports that one rule of iptables takes (multiport)."""

Side = tuple[str, IPNetwork]
"""A bridge of this host with the subnet of its network."""


@dataclass(frozen=True, slots=True)
class LinkedBridges:
    """Two networks of this host that may talk; `ports` () are all."""

    first: Side
    second: Side
    ports: tuple[LinkPort, ...] = ()

    @property
    def ways(self) -> tuple[tuple[Side, Side], ...]:
        """Return both directions."""
        return ((self.first, self.second), (self.second, self.first))


def linked(networks: Iterable[Joined], family: Family = Family.IPV4) -> tuple[LinkedBridges, ...]:
    """Return the pairs of this host's networks that are linked, by one family that both have.

    Networks that reach nothing outside are not linked.
    """
    found = []
    for one, other in combinations(networks, 2):
        links = (*_of(one, other), *_of(other, one))
        first, second = subnet_of(one, family), subnet_of(other, family)
        if not links or one.network.internal or other.network.internal or first is None or second is None:
            continue
        every = any(not link.ports for link in links)
        ports = () if every else tuple(dict.fromkeys(port for link in links for port in link.ports))
        found.append(LinkedBridges((one.bridge, first), (other.bridge, second), ports))
    return tuple(found)


def subnet_of(joined: Joined, family: Family) -> IPNetwork | None:
    """Return the range of a network in one family."""
    return joined.network.subnet if family is Family.IPV4 else joined.network.subnet6


def _of(one: Joined, other: Joined) -> tuple[NetworkLink, ...]:
    return tuple(link for link in one.network.links if link.id == other.network.id)


def accepted(pairs: Iterable[LinkedBridges], verdict: Verdict) -> tuple[Rule, ...]:
    """Return the rules for forwarded packets, both ways; by ports, answers pass as parts of known connections."""
    return tuple(rule for pair in pairs for way in pair.ways for rule in _way(way, pair.ports, verdict))


def reaching(pairs: Iterable[LinkedBridges]) -> tuple[Rule, ...]:
    """Return the rules against Docker's drop of what reaches a container by another link than its bridge (28.0).

    The port is judged when the packet is forwarded.
    """
    return tuple(
        Rule(Verdict.ACCEPT, source=one[1], destination=other[1], in_link=one[0])
        for pair in pairs
        for one, other in pair.ways
    )


def masqueraded(pairs: Iterable[LinkedBridges]) -> tuple[Rule, ...]:
    """Return the rules by which answers come back to the asker's host."""
    return tuple(
        Rule(Verdict.MASQUERADE, source=one[1], destination=other[1], out_link=other[0])
        for pair in pairs
        for one, other in pair.ways
    )


def _way(way: tuple[Side, Side], ports: tuple[LinkPort, ...], verdict: Verdict) -> Iterator[Rule]:
    (in_link, source), (out_link, destination) = way
    if not ports:
        yield Rule(verdict, source=source, destination=destination, in_link=in_link, out_link=out_link)
        return
    yield Rule(
        verdict, source=source, destination=destination, in_link=in_link, out_link=out_link, known=True
    )
    for protocol in Protocol:
        numbers = [port.number for port in ports if port.protocol is protocol]
        for start in range(0, len(numbers), _MOST_AT_ONCE):
            yield Rule(
                verdict,
                source=source,
                destination=destination,
                in_link=in_link,
                out_link=out_link,
                ports=tuple(numbers[start : start + _MOST_AT_ONCE]),
                tcp=protocol is Protocol.TCP,
            )
