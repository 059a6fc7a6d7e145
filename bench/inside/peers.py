"""Peers of a benchmark, as kernel objects and as iproute2's lines; the same ones in both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.address import Mac
from flanpy.model.objects import ROUTE_PROTO, FdbEntry, Neighbour, Route


@dataclass(frozen=True, slots=True)
class PeerEntries:
    """The objects of one peer in the kernel."""

    neighbour: Neighbour
    fdb: FdbEntry
    route: Route


def peers(count: int, link: str) -> list[PeerEntries]:
    """`count` peers: 10.0.2.0/24 and on, behind 172.16.1.1 and on."""
    return [_peer(number, link) for number in range(1, count + 1)]


def _peer(number: int, link: str) -> PeerEntries:
    vtep = IPv4Address(0x0A000100 + number * 256)
    mac = Mac((0x020000010000 + number).to_bytes(6, "big"))
    return PeerEntries(
        Neighbour(link, vtep, mac),
        FdbEntry(link, mac, IPv4Address(0xAC100100 + number)),
        Route(IPv4Network((int(vtep), 24)), link, vtep, onlink=True),
    )


def ip_lines(several: list[PeerEntries]) -> Iterator[str]:
    """For `ip -batch`: neighbours, then routes."""
    for peer in several:
        one = peer.neighbour
        yield f"neigh add {one.address} lladdr {one.mac} dev {one.link} nud permanent"
    for peer in several:
        route = peer.route
        yield (
            f"route add {route.destination} via {route.gateway} dev {route.link} onlink proto {ROUTE_PROTO}"
        )


def bridge_lines(several: list[PeerEntries]) -> Iterator[str]:
    """For `bridge -batch`: the FDB."""
    for peer in several:
        yield f"fdb add {peer.fdb.mac} dev {peer.fdb.link} dst {peer.fdb.destination} self permanent"
