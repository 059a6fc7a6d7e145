"""The choice of the link for encapsulated packets: flannel's rule, as a pure function of the host's links and routes.

Order (flannel's Documentation/configuration.md): `iface` values as given, each an address (the link that has it) or a
name; then `iface-regex`, each against all addresses, then all names; then the link of the route to
`iface-can-reach`; and only if none of these is set, the link of the default route with the lowest metric.
A configured link that does not exist is waited for, never replaced by a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from flanpy.model.address import IPAddress
from flanpy.model.facts import HostRoute, Underlay
from flanpy.model.put_order import LINK_ALIAS
from flanpy.model.rules import TableRoute
from flanpy.netlink.framing import packed

_OVERLAY_NAME = re.compile(r"flannel(-v6)?[.\d].*|fv-\d+")
_DOCKER_BRIDGE = re.compile(r"docker\d+|docker_gwbridge|br-[0-9a-f]{12}|fb-\d+")


@dataclass(frozen=True, slots=True)
class UnderlayChoice:
    """The operator's settings of the same names; `public` are public-ip and public-ipv6."""

    iface: tuple[str, ...] = ()
    iface_regex: tuple[str, ...] = ()
    can_reach: IPAddress | None = None
    public: tuple[IPAddress, ...] = ()

    @property
    def is_explicit(self) -> bool:
        return bool(self.iface or self.iface_regex or self.can_reach is not None)


@dataclass(frozen=True, slots=True)
class HostLink:
    """A link and its addresses, best first; `up` is the administrative state: `carrier` comes and goes.

    `lower` is the index of the link below it (of a VLAN), `master` of the link that it is part of (a bond, a bridge);
    0 for none in this namespace. `lesser` are addresses that are the second choice: deprecated, or a /32 beside others.
    """

    index: int
    name: str
    mtu: int
    up: bool = True
    loopback: bool = False
    alias: str = ""
    addresses: tuple[IPAddress, ...] = ()
    lesser: frozenset[IPAddress] = frozenset()
    lower: int = 0
    master: int = 0
    carrier: bool = True


@dataclass(frozen=True, slots=True)
class HostPicture:
    """The input of the choice. `reached` is the link of the kernel's route to `can_reach`, None if there is none.

    `kept` are the addresses that this host advertises, which it goes on advertising while it has them; `claimed` those
    of its own that another node advertises.
    `ruled` are routes of other tables than main, in the order in which routing rules ask them.
    """

    links: tuple[HostLink, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    reached: str | None = None
    ruled: tuple[TableRoute, ...] = ()
    kept: frozenset[IPAddress] = frozenset()
    claimed: frozenset[IPAddress] = frozenset()

    def named(self, name: str) -> HostLink | None:
        return next((link for link in self.links if packed(link.name) == packed(name)), None)

    def owner(self, address: IPAddress) -> HostLink | None:
        return next((link for link in self.links if address in link.addresses), None)


@dataclass(frozen=True, slots=True)
class _Candidate:
    link: HostLink
    reason: str
    address: IPAddress | None = None


def choose(choice: UnderlayChoice, picture: HostPicture) -> Underlay | str:
    """Return the underlay, or in one line the reason why there is none."""
    refusals: list[str] = []
    for candidate in _candidates(choice, picture):
        if isinstance(candidate, str):
            refusals.append(candidate)
        elif refusal := _refusal(candidate):
            refusals.append(refusal)
        else:
            return _underlay(candidate, refusals, choice, picture)
    return "; ".join(refusals) or "there is no default route: set iface to the underlay's link or address"


def link_down(choice: UnderlayChoice, picture: HostPicture) -> str:
    """Return the link that would carry the overlay if it were up, "" if there is none.

    Routes go with the link, so that without a default route it is the only link that is down and has an address.
    """
    found = [one.link for one in _candidates(choice, picture) if isinstance(one, _Candidate)]
    if not found and not choice.is_explicit:
        found = [link for link in picture.links if not _refusal(_Candidate(replace(link, up=True), ""))]
        found = found if len(found) == 1 else []
    return next((link.name for link in found if not link.up), "")


def beneath(index: int, links: Sequence[HostLink]) -> Iterator[HostLink]:
    """Return the link, and those that its frames leave by: slaves of a bond, ports of a bridge, the link of a VLAN."""
    by_index = {link.index: link for link in links}
    waiting, seen = [index], {index}
    while waiting:
        link = by_index.get(waiting.pop(0))
        if link is None:
            continue
        yield link
        below = [link.lower, *(other.index for other in links if other.master == link.index)]
        waiting += [one for one in below if one and one not in seen]
        seen.update(below)


def _candidates(choice: UnderlayChoice, picture: HostPicture) -> Iterator[_Candidate | str]:
    """Return the links in order of preference, and texts that name the searches without a result."""
    for value in choice.iface:
        yield _by_iface(value, picture)
    for pattern in choice.iface_regex:
        found = list(_by_regex(pattern, picture))
        yield from found
        if not found:
            yield f"iface-regex {pattern}: matches no link's address or name"
    if choice.can_reach is not None:
        yield _by_reach(choice.can_reach, picture)
    if not choice.is_explicit:
        yield from _by_public(choice, picture)
        yield from _by_default_route(picture)


def _by_public(choice: UnderlayChoice, picture: HostPicture) -> Iterator[_Candidate]:
    """An advertised address of this host says by which link peers come; one on lo says nothing of it."""
    for address in choice.public:
        link = picture.owner(address)
        if link is not None and not link.loopback:
            yield _Candidate(link, f"public-ip {address} is on {link.name}", address)


def _by_iface(value: str, picture: HostPicture) -> _Candidate | str:
    try:
        address = ip_address(value)
    except ValueError:
        link = picture.named(value)
        return f"iface {value}: no such link" if link is None else _Candidate(link, f"iface {value}")
    link = picture.owner(address)
    if link is None:
        return f"iface {value}: no link of this host has that address"
    if link.loopback and _usable(address):
        return _by_loopback(address, link, picture)
    return _Candidate(link, f"iface {value} is on {link.name}", address)


def _by_loopback(address: IPAddress, link: HostLink, picture: HostPicture) -> _Candidate | str:
    """An address on lo belongs to the whole host (BGP to the host): its packets go by the default route's link."""
    found = next((one for one in _by_default_route(picture) if isinstance(one, _Candidate)), None)
    if found is None:
        return f"iface {address} is on {link.name}, and there is no default route whose link could carry its packets"
    return replace(found, reason=f"iface {address} is on {link.name}; {found.reason}", address=address)


def _by_regex(pattern: str, picture: HostPicture) -> Iterator[_Candidate]:
    matcher = re.compile(pattern)
    eligible = [link for link in picture.links if not link.loopback and not _is_overlay_or_docker(link)]
    for link in eligible:
        for address in link.addresses:
            if not address.is_link_local and matcher.search(str(address)):
                yield _Candidate(link, f"iface-regex {pattern} matches {address}", address)
    for link in eligible:
        if matcher.search(link.name):
            yield _Candidate(link, f"iface-regex {pattern} matches {link.name}")


def _by_reach(target: IPAddress, picture: HostPicture) -> _Candidate | str:
    link = picture.named(picture.reached) if picture.reached is not None else None
    if link is None:
        return f"iface-can-reach {target}: no route to it"
    return _Candidate(link, f"iface-can-reach {target} goes by {link.name}")


def _by_default_route(picture: HostPicture) -> Iterator[_Candidate | str]:
    """Order default routes: IPv4 before IPv6, by metric; of an equal-cost pair the one the kernel lists first."""
    for version in (4, 6):
        defaults = [
            r for r in picture.routes if r.destination.prefixlen == 0 and r.destination.version == version
        ]
        for route in sorted(defaults, key=lambda route: route.metric):
            link = picture.named(route.link)
            if link is None:
                continue
            if _is_overlay_or_docker(link):
                yield f"default route goes by {link.name}, which is an overlay or Docker link"
                continue
            yield _Candidate(link, _default_reason(route, defaults))
    yield from _by_ruled_default_route(picture)


def _by_ruled_default_route(picture: HostPicture) -> Iterator[_Candidate]:
    """A host may have its default route in a table of its own, and none in main."""
    for route in picture.ruled:
        link = picture.named(route.link) if not route.destination.prefixlen and route.link else None
        if link is not None and not _is_overlay_or_docker(link):
            yield _Candidate(link, "default route of another table than main, which a routing rule asks")


def _default_reason(route: HostRoute, defaults: Sequence[HostRoute]) -> str:
    equal = [other.link for other in defaults if other.metric == route.metric]
    if len(equal) > 1:
        return f"first of the equal default routes by {', '.join(equal)}"
    return f"default route, metric {route.metric}" if len(defaults) > 1 else "default route"


def _refusal(candidate: _Candidate) -> str:
    link, why = candidate.link, candidate.reason
    if link.loopback:
        return f"{why}: {link.name} is a loopback link"
    if link.alias == LINK_ALIAS or _OVERLAY_NAME.fullmatch(link.name):
        return f"{why}: {link.name} is an overlay link"
    if not link.up:
        return f"{why}: {link.name} is down"
    if candidate.address is not None and not _usable(candidate.address):
        return f"{why}: {candidate.address} is link-local or loopback, so peers cannot reach it"
    if candidate.address is None and not any(_usable(address) for address in link.addresses):
        return f"{why}: {link.name} has no address that peers could reach"
    return ""


def _usable(address: IPAddress) -> bool:
    return not (
        address.is_link_local or address.is_loopback or address.is_multicast or address.is_unspecified
    )


def _is_overlay_or_docker(link: HostLink) -> bool:
    return (
        link.alias == LINK_ALIAS
        or _OVERLAY_NAME.fullmatch(link.name) is not None
        or _DOCKER_BRIDGE.fullmatch(link.name) is not None
    )


def _underlay(
    candidate: _Candidate, refusals: Sequence[str], choice: UnderlayChoice, picture: HostPicture
) -> Underlay:
    """Return the underlay by this link, with one address of each family.

    Packets leave from the very address that is advertised where that is one of this host, on whatever link. Else the
    operator's choice goes first, then the link's own: real prefixes before a /32, which may be a virtual address that
    moves to another host; not one that another node advertises; the one that is advertised already before the others.
    """
    link = candidate.link
    named = [address for address in choice.public if picture.owner(address) is not None]
    named += [candidate.address] if candidate.address is not None else []
    own = sorted(
        link.addresses, key=lambda a: (a in link.lesser, a in picture.claimed, a not in picture.kept)
    )
    usable = [address for address in (*named, *own) if _usable(address)]
    return Underlay(
        link=link.name,
        index=link.index,
        mtu=link.mtu,
        address=next((a for a in usable if isinstance(a, IPv4Address)), None),
        address6=next((a for a in usable if isinstance(a, IPv6Address)), None),
        reason="; ".join([f"{link.name}: {candidate.reason}", *(f"not {refusal}" for refusal in refusals)]),
        carrier=link.carrier,
    )
