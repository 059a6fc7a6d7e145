"""The checks of this host: underlay, overlapping networks, forwarding, reverse-path filters, neighbour tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flanpy.doctor.addresses import address, networks
from flanpy.doctor.checks.common import (
    Problem,
    ends,
    judged,
    judgement,
    repaired,
    sysctl,
    sysctls,
    traced_finding,
)
from flanpy.doctor.facts import Facts, RouteSeen, Traced
from flanpy.doctor.finding import Finding, Severity
from flanpy.doctor.packets import OUR_PROTO
from flanpy.host.sysctl import sysctl_name
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.reach import Trouble
from flanpy.plan.foreign import cure_of_link
from flanpy.plan.host_settings import FORWARD4, FORWARD6
from flanpy.trace.hop import Cause, Hop, Place

_LINK = Problem("P21", "no link of this host can carry the overlay")
_SHARED = Problem("P21", "another host has this host's public address")
_UNFIT = Problem("P21", "the address that peers send to is not one they can reach")
_TWO = Problem("P21", "two links could carry the overlay, and nothing says which")
_NO_WAY = Problem("P21", "this host has no way to a peer's public address")
_MOVED = Problem("P27", "the public address in the lease is not this host's")
_ROUTE = Problem("P32", "a foreign route overlaps the overlay")
_RULE = Problem("P32", "a foreign routing rule goes before the overlay's routes")
_UNDERLAY = Problem("P32", "the underlay's own addresses are within the overlay")
_DNS = Problem("P32", "a name server's address is within the overlay")
_IPV6 = Problem("P22", "IPv6 is switched off on a link that the overlay needs")
_IPV6_NARROW = Problem("P22", "the underlay's packets are too small for IPv6 of the overlay")
_FORWARD = Problem("P04", "this host does not forward packets")
_FORWARD_LINK = Problem(
    "P04", "this host does not forward packets that come in by a link of containers or peers"
)
_FORWARD_AGAIN = Problem("P04", "forwarding was switched off, and on again by flanpyd")
_STRICT = Problem("P05", "reverse-path filters drop what peers send")
_STRICT_AGAIN = Problem(
    "P05", "the reverse-path filter of the overlay was made strict, and loose again by flanpyd"
)
_TABLE = Problem("P20", "the neighbour table is too small")

_BENEATH: Final = frozenset({Trouble.PEER_DOWN.value, Trouble.NO_UNDERLAY.value})

_FORWARDING: Final = frozenset({FORWARD4, FORWARD6})


def shared(facts: Facts) -> Iterator[Finding]:
    """The other's lease is refused for this."""
    yield from judged(facts, "DuplicatePublicIP", _SHARED)


def link(facts: Facts) -> Iterator[Finding]:
    """Yield a finding without an underlay: etcd and peers are beyond it, so this comes before theirs."""
    yield from judged(facts, "UnderlayReady", _LINK)


def underlay(facts: Facts) -> Iterator[Finding]:
    own = facts.status.own
    told = {"public_ip": own.public_ip, "public_ip6": own.public_ip6} if own is not None else {}
    for key, text in told.items():
        ip = address(text)
        if ip is not None and (ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast):
            yield _UNFIT.found(f"{key} is {ip}", cure="set --public-ip or --iface")
    yield from _ambiguous(facts)
    yield from traced_finding(_NO_WAY, _untold_ends(facts))


def _untold_ends(facts: Facts) -> list[tuple[Traced, Hop]]:
    """Return the packets that end on the underlay, but for those to peers whose probes told why."""
    told = [
        network
        for row in facts.peers.peers
        if row.trouble in _BENEATH
        for network in networks(row.subnet, row.subnet6)
    ]
    ended = ends(facts, [Place.UNDERLAY])
    return [pair for pair in ended if not _in(address(pair[0].walk.destination), told)]


def _ambiguous(facts: Facts) -> Iterator[Finding]:
    """Default routes of the same metric by several links."""
    if facts.told.underlay_named or not facts.has_status:
        return
    for version in (4, 6):
        defaults = [
            r
            for r in facts.routes
            if r.destination.prefixlen == 0 and r.destination.version == version and r.link
        ]
        least = min((route.metric for route in defaults), default=0)
        best = [route for route in defaults if route.metric == least]
        links = {link for route in best for link in route.link.split(",")}
        if len(links) > 1 and version == 4:
            reason = facts.status.underlay.reason if facts.status.underlay is not None else ""
            chosen = f"chosen is {facts.underlay}: {reason}"
            cure = "name the link with --iface"
            lines = [route.text or f"default by {route.link}" for route in best]
            yield _TWO.found(*lines, chosen, cure=cure, severity=Severity.NOTE)


def moved(facts: Facts) -> Iterator[Finding]:
    """Yield a finding for a moved address. An address behind a translation is set by hand; no link here has it."""
    ip = address(facts.status.own.public_ip) if facts.status.own is not None else None
    if ip is None or facts.told.public_ip_named or not facts.addresses or ip in facts.addresses:
        return
    has = (facts.status.underlay.address if facts.status.underlay is not None else None) or "no address"
    cure = "is flanpyd running? It updates the lease when the address changes; behind NAT set --public-ip"
    yield _MOVED.found(f"the lease says {ip}", f"the underlay {facts.underlay} has {has}", cure=cure)


def overlapping(facts: Facts) -> Iterator[Finding]:
    ours = {*facts.overlay_links, *(link for ip, link in facts.addresses.items() if _in(ip, facts.own))}
    routes = [route for route in facts.routes if route.link not in ours and _is_foreign(route, facts)]
    if routes:
        shadowing = any(_shadows(route, facts) for route in routes)
        told = facts.condition("ForeignConflict")
        cure = told.cure if told is not None and told.reason == "RouteOverlaps" else ""
        cure = cure or cure_of_link(routes[0].link, None)
        severity = Severity.ERROR if shadowing else Severity.WARNING
        yield _ROUTE.found(
            *(route.text or str(route.destination) for route in routes),
            cure=cure,
            severity=severity,
            condition=judgement(facts, "ForeignConflict", "RouteOverlaps"),
        )
    named = judgement(facts, "ForeignConflict", "PolicyRouting")
    yield from judged(facts, "ForeignConflict", _RULE, reasons=("PolicyRouting",))
    yield from [] if named else traced_finding(_RULE, ends(facts, [Place.ROUTE], [Cause.RULE]))
    under = [ip for ip, link in facts.addresses.items() if link == facts.underlay and _in(ip, facts.networks)]
    if facts.underlay and under:
        line = f"{facts.underlay} has {', '.join(map(str, under))}"
        yield _UNDERLAY.found(
            line,
            cure="move the overlay to another network: flanpyctl network set",
            condition=judgement(facts, "ForeignConflict", "HostInside"),
        )
    asked = [ip for ip in facts.nameservers if _in(ip, facts.networks) and not _in(ip, facts.own)]
    if asked:
        line = f"resolv.conf asks {', '.join(map(str, asked))}"
        cure = "move the overlay to another network, unless that server is a container of it"
        yield _DNS.found(line, cure=cure, severity=Severity.NOTE)


def _in(ip: IPAddress | None, networks: Iterable[IPNetwork]) -> bool:
    return ip is not None and any(ip in network for network in networks)


def _is_foreign(route: RouteSeen, facts: Facts) -> bool:
    """As narrow as the overlay or narrower: what is wider only says where the rest of the world is."""
    if route.proto in OUR_PROTO or route.destination.prefixlen == 0:
        return False
    to = route.destination
    return any(
        to.version == one.version and to.overlaps(one) and to.prefixlen >= one.prefixlen
        for one in facts.networks
    )


def _shadows(route: RouteSeen, facts: Facts) -> bool:
    """Report whether the route takes packets from a peer's route."""
    leased = [net for row in facts.subnets.subnets for net in networks(row.subnet, row.subnet6)]
    to = route.destination
    return any(
        to.version == net.version and to.overlaps(net) and to.prefixlen >= net.prefixlen for net in leased
    )


def ipv6(facts: Facts) -> Iterator[Finding]:
    for name in ("BackendReady", "MTUConsistent"):
        yield from judged(facts, name, _IPV6_NARROW, reasons=("TooNarrow",))
    if not any(network.version == 6 for network in facts.networks):
        return
    links = [
        link for link in (*facts.overlay_links, facts.underlay) if "v6" in link or link == facts.underlay
    ]
    for link in dict.fromkeys(filter(None, links)):
        name = sysctl_name(f"net/ipv6/conf/{link}/disable_ipv6")
        if facts.sysctls.get(name) == "1":
            yield _IPV6.found(f"{name} = 1", cure=f"sysctl -w {name}=0", repair=sysctl(name, 0))


def forwarding(facts: Facts) -> Iterator[Finding]:
    name = "net.ipv4.ip_forward"
    off = facts.sysctls.get(name) == "0"
    lost = ends(facts, [Place.FORWARDING])
    condition = facts.condition("ForwardingEnabled")
    refused = condition is not None and condition.status != "Unknown"
    if off and (lost or refused or (not facts.has_status and facts.overlay_links)):
        cure = f"sysctl -w {name}=1, and find what resets it: grep -r ip_forward /etc/sysctl.d /run/sysctl.d"
        named = "ForwardingEnabled" if refused else ""
        yield _FORWARD.found(f"{name} = 0", cure=cure, condition=named, repair=sysctl(name, 1))
    elif links := _links_off(facts):
        switches = {sysctl_name(f"net/ipv4/conf/{link}/forwarding"): 1 for link in links}
        cure = (
            f"sysctl -w {' '.join(f'{name}=1' for name in switches)}, and find what sets it in /etc/sysctl.d"
        )
        named = "ForwardingEnabled" if refused else ""
        yield _FORWARD_LINK.found(
            *(f"{name} = 0" for name in switches), cure=cure, condition=named, repair=sysctls(switches)
        )
    elif refused:
        yield from judged(facts, "ForwardingEnabled", _FORWARD)
    elif lost:
        yield from traced_finding(_FORWARD, lost)
    cure = "find what resets it: grep -r ip_forward /etc/sysctl.conf /etc/sysctl.d /run/sysctl.d"
    yield from repaired(facts, _FORWARD_AGAIN, ["sysctl"], cure, where=lambda put: bool(put & _FORWARDING))
    yield from repaired(facts, _FORWARD_AGAIN, ["linksysctl"], cure, where=lambda put: "forwarding" in put)


def _links_off(facts: Facts) -> list[str]:
    """Return the links that packets of the overlay come in by and that do not forward IPv4, though the host does.

    Those are bridges with our subnet, the overlay's devices, and the underlay where peers send packets unwrapped.
    """
    used = {link for ip, link in facts.addresses.items() if _in(ip, facts.own)} | {*facts.overlay_links}
    direct = any(row.way == "direct" for row in facts.subnets.subnets)
    if facts.underlay and direct:
        used.add(facts.underlay)
    present = sorted(used & (facts.devices or {}).keys())
    return [
        link
        for link in present
        if facts.sysctls.get(sysctl_name(f"net/ipv4/conf/{link}/forwarding")) == "0"
        and facts.sysctls.get(FORWARD4) == "1"
    ]


def reverse_path(facts: Facts) -> Iterator[Finding]:
    told = facts.status.tuning.reverse_path.strict if facts.status.tuning is not None else ()
    # Root is to write there, so the daemon only chooses among the links that are here.
    strict = [link for link in told if link in (facts.devices or {})]
    repair = (
        sysctls({sysctl_name(f"net/ipv4/conf/{link}/rp_filter"): 2 for link in strict}) if strict else None
    )
    yield from judged(facts, "HostTuned", _STRICT, repair=repair)
    if facts.condition("HostTuned") is None:
        yield from traced_finding(_STRICT, ends(facts, [Place.ROUTE], [Cause.REVERSE_PATH]))
        yield from _strict_without_daemon(facts)
    cure = "find who sets rp_filter: grep -r rp_filter /etc/sysctl.conf /etc/sysctl.d"
    yield from repaired(facts, _STRICT_AGAIN, ["linksysctl"], cure, where=lambda put: "rp_filter" in put)


def _strict_without_daemon(facts: Facts) -> Iterator[Finding]:
    """On the overlay's own device a strict filter is never right."""
    if facts.has_status:
        return
    of_all = facts.sysctls.get("net.ipv4.conf.all.rp_filter", "0")
    for link in facts.overlay_links:
        name = sysctl_name(f"net/ipv4/conf/{link}/rp_filter")
        if max(of_all, facts.sysctls.get(name, "0")) == "1":
            yield _STRICT.found(f"{name} is strict", cure=f"sysctl -w {name}=2", repair=sysctl(name, 2))


def neighbours(facts: Facts) -> Iterator[Finding]:
    condition = facts.condition("NeighboursFit")
    if condition is None:
        return
    for table in facts.status.tuning.neighbours if facts.status.tuning is not None else ():
        if table.needed > table.limit or table.refused_lately:
            family = "ipv6" if table.family == "ipv6" else "ipv4"
            wanted = 1 << max(table.needed * 2, table.limit * 2, 1).bit_length()
            repair = sysctl(f"net.{family}.neigh.default.gc_thresh3", wanted)
            yield from judged(facts, "NeighboursFit", _TABLE, repair=repair)
            return
    yield from judged(facts, "NeighboursFit", _TABLE)
