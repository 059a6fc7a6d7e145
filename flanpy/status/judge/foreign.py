"""Judges what of others stands in the overlay's way: objects, routes and rules, and what lies in its range."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from flanpy.backend import choice, udp
from flanpy.model.address import IPNetwork, is_within
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.facts import HostRoute
from flanpy.model.ipip import IpipLink
from flanpy.model.lease import Lease
from flanpy.model.naming import HostNames
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import KernelObject, OtherLink, OtherRoute, Route, TunLink, VxlanLink
from flanpy.model.wireguard import WireguardLink
from flanpy.plan.foreign import cure_of_link, owner_of_link, owner_of_route, removal
from flanpy.plan.policy_routing import led_astray
from flanpy.plan.render import describe
from flanpy.printable import plural
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import EVIDENCE, bad, good, named


def foreign(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.FOREIGN_CONFLICT
    conflicts = inputs.last.decision.difference.conflicts if inputs.last else ()
    if not conflicts:
        stealing = list(_stealing(inputs.last)) if inputs.last else []
        if inputs.last is not None and stealing:
            lines = [text for _, text in stealing]
            message = f"packets to peers take another way: {named(lines)}"
            cure = _cure_of_routes([route for route, _ in stealing], inputs.last.world.network)
            return bad(kind, "RouteOverlaps", message, cure, status=Status.TRUE, evidence=lines)
        return (_within_range(inputs.last) if inputs.last else None) or good(
            kind, "None", "nobody else uses what we need", status=Status.FALSE
        )
    message = f"{plural(len(conflicts), 'foreign object')} in the place of ours, the first: {whose(conflicts[0].found)}"
    first = conflicts[0].found
    what = f": {removal(first)}" if isinstance(first, Route | OtherRoute) else ""
    cure = f"remove the foreign object{what}; ours follows at once"
    return bad(kind, "Foreign", message, cure, status=Status.TRUE)


def _within_range(last: Pass) -> Condition | None:
    """Return what of others lies in the overlay's range, None if nothing does (P32): rules, this host, routes."""
    return _astray(last) or _host_inside(last) or _routes_inside(last)


def _ranges(last: Pass) -> list[IPNetwork]:
    network = last.world.network
    return [one for one in (network.network, network.network6) if one is not None] if network else []


def _host_inside(last: Pass) -> Condition | None:
    """The host's own address in the overlay's range, unless the operator allowed that range by name."""
    underlay = last.world.facts.underlay
    if underlay is None or last.world.policy.allowed_networks:
        return None
    own = [address for address in (underlay.address, underlay.address6) if address is not None]
    found = [(address, one) for address in own for one in _ranges(last) if address in one]
    if not found:
        return None
    address, range_ = found[0]
    message = f"the overlay {range_} lies over this host's own network: {underlay.link} has {address}"
    cure = f"flanpyctl network set with another range; if it is meant, set allowed-network to {range_}"
    return bad(ConditionType.FOREIGN_CONFLICT, "HostInside", message, cure, status=Status.TRUE)


def _routes_inside(last: Pass) -> Condition | None:
    """Routes of others in the range where no peer is yet: well, but said."""
    mine = choice.links(last.world)
    inside = [
        route
        for route in last.world.facts.routes
        if route.link not in mine and any(is_within(route.destination, one) for one in _ranges(last))
    ]
    leased = list(_subnets(last)) if inside else []
    found = [route for route in inside if not any(is_within(route.destination, one) for one in leased)]
    if not found:
        return None
    names = named([f"{route.destination} by {_named_link(route)}" for route in found])
    message = f"routes of others lie in the overlay's range, at no peer's subnet yet: {names}"
    return good(ConditionType.FOREIGN_CONFLICT, "RouteInside", message, status=Status.FALSE)


def _astray(last: Pass) -> Condition | None:
    """A routing rule of somebody else that goes before our routes, None if there is none."""
    network = last.world.network
    if network is None or not last.world.facts.rules:
        return None
    found = list(islice(led_astray(last.world, _subnets(last), choice.links(last.world)), EVIDENCE))
    if not found:
        return None
    first = found[0]
    range_ = network.network if first.rule.version == 4 else network.network6
    cure = f"run: {first.cure(range_ or first.subnet)}; or remove that rule"
    message = f"a routing rule goes before the overlay's routes: {first}"
    kind = ConditionType.FOREIGN_CONFLICT
    return bad(kind, "PolicyRouting", message, cure, status=Status.TRUE, evidence=[str(one) for one in found])


def _subnets(last: Pass) -> Iterator[IPNetwork]:
    """The subnets of peers, then our own, which packets of peers go to."""
    own = [last.world.own] if last.world.own is not None else []
    for lease in (*last.admission.peers, *own):
        yield from lease.key.subnets


def _cure_of_routes(routes: list[HostRoute], network: NetworkConfig | None) -> str:
    """Docker's networks first: they are removed by Docker alone."""
    first = next((route for route in routes if owner_of_link(route.link)), routes[0])
    return cure_of_link(first.link, network.network or network.network6 if network is not None else None)


def _stealing(last: Pass) -> Iterator[tuple[HostRoute, str]]:
    """Return routes of others to a peer's subnet or a part of it, each with its words (P32).

    Of two routes the narrower one is taken, whatever its metric; of two alike the one of the lower metric, and the
    kernel refuses ours beside one of the same.
    """
    network = last.world.network
    ranges = [one for one in (network.network, network.network6) if one is not None] if network else []
    for route in last.world.facts.routes:
        to = route.destination
        if _is_preferred_to_tunnel(route, network):
            yield route, f"{to} by {_named_link(route)}, with a lower metric"
        if any(is_within(to, one) for one in ranges) and route.link not in choice.links(last.world):
            length, version = to.prefixlen, to.version
            for peer in last.admission.peers:  # thousands, after every pass
                subnet = peer.key.subnet if version == 4 else peer.key.subnet6
                if subnet is None or length < subnet.prefixlen or not is_within(to, subnet):
                    continue
                peer_name = HostNames.among(last.world.view.leases.values()).of(peer)
                if length > subnet.prefixlen:
                    yield route, f"{to} by {_named_link(route)}, within {peer_name or subnet}'s {subnet}"
                elif route.metric <= (0 if version == 4 else IPV6_METRIC) and not _is_ours(route, peer):
                    yield route, f"{to} by {_named_link(route)}, which is {peer_name or peer.key}'s subnet"


IPV6_METRIC = 1024
"""The metric that the kernel gives to IPv6 routes without one, ours among them."""


def _is_ours(route: HostRoute, peer: Lease) -> bool:
    """Report whether somebody's route leads to the peer just as a route of ours would."""
    return route.gateway is not None and route.gateway in {peer.record.public_ip, peer.record.public_ip6}


def _named_link(route: HostRoute) -> str:
    owner = owner_of_link(route.link)
    return f"{route.link} ({owner})" if owner else route.link


def _is_preferred_to_tunnel(route: HostRoute, network: NetworkConfig | None) -> bool:
    """The same destination as the udp tunnel's route, which lets others' go first."""
    return (
        network is not None
        and network.backend_type == "udp"
        and route.destination == network.network
        and route.link != udp.LINK
        and route.metric < udp.ROUTE_METRIC
    )


def whose(found: KernelObject) -> str:
    """A foreign object, and by what it is not ours."""
    match found:
        case VxlanLink(name=name, vni=vni, port=port, alias=alias):
            marked = f"marked {alias!r}" if alias else "unmarked"
            return f"{name} is another's VXLAN device (VNI {vni}, UDP port {port}, {marked})"
        case TunLink(name=name, alias=alias):
            marked = f"marked {alias!r}" if alias else "unmarked"
            return f"{name} is another's TUN device ({marked})"
        case IpipLink(name=name, alias=alias):
            marked = f"marked {alias!r}" if alias else "unmarked"
            return f"{name} is another's IPIP device ({marked})"
        case WireguardLink(name=name, alias=alias):
            marked = f"marked {alias!r}" if alias else "unmarked"
            return f"{name} is another's WireGuard device ({marked})"
        case OtherLink(name=name, kind=kind):
            return f"{name} is another's link of kind {kind}"
        case Route() | OtherRoute():
            return ", ".join(filter(None, (describe(found), owner_of_route(found))))
        case _:
            return describe(found)
