"""The readers of the kernel behind HostFacts: links, addresses, routes that are not ours, forwarding.

Must not: choose the underlay (kernel.underlay), or watch.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from flanpy.kernel import dumps, entries, links
from flanpy.kernel.request import RequestSocket
from flanpy.kernel.underlay import HostLink
from flanpy.model.address import Family, IPAddress
from flanpy.model.facts import HostRoute
from flanpy.model.objects import (
    MAIN_TABLE,
    ROUTE_PROTO,
)
from flanpy.model.put_order import LINK_ALIAS
from flanpy.netlink import framing, numbers, rtnl
from flanpy.netlink.framing import HEADER_SIZE, S32, U32, attribute, attributes, frame

_RTMSG = struct.Struct("=BBBBBBBBI")
_RTMSG_ATTRIBUTES_AT = HEADER_SIZE + _RTMSG.size
_RTNEXTHOP = struct.Struct("=HBBi")
_RTN_UNICAST, _RTM_F_CLONED = 1, 0x200
_IFF_LOOPBACK, _IFF_LOWER_UP = 8, 0x10000
_LOWER, _LOWER_NAMESPACE, _MASTER = (
    rtnl.IFLA[name] for name in ("IFLA_LINK", "IFLA_LINK_NETNSID", "IFLA_MASTER")
)
_MTU = rtnl.IFLA["IFLA_MTU"]
# ifa_flags of linux/if_addr.h; 0x01 is TEMPORARY for IPv6 and SECONDARY for IPv4: either way second best
_DAD_FAILED, _TENTATIVE, _DEPRECATED, _TEMPORARY = 0x08, 0x40, 0x20, 0x01
_NETCONFA_IFINDEX, _NETCONFA_FORWARDING, _NETCONFA_RP_FILTER, _NETCONFA_PROXY_NEIGH = 1, 2, 3, 5
ALL_LINKS = -1
"""NETCONFA_IFINDEX_ALL: the row of `conf/all`."""
STRICT = 1  # rp_filter


@dataclass(frozen=True, slots=True)
class Forwarding:
    """The forwarding state of a row, from a netconf message."""

    family: int
    index: int
    enabled: bool


async def read_links(
    requests: RequestSocket, *, learn: Callable[[bytes, int, int], None]
) -> tuple[HostLink, ...]:
    """Return all links with their addresses, best first; `learn` gets each message too."""

    def parse(buffer: bytes, start: int, end: int) -> HostLink:
        learn(buffer, start, end)
        return _host_link(buffer, start, end)

    found = await requests.dump(links.link_dump(), parse)
    of_link: dict[int, list[_Ranked]] = {}
    for family in Family:
        for seen in await requests.dump(links.address_dump(family, 0), links.seen_address):
            if not seen.flags & (_DAD_FAILED | (_TENTATIVE if family is Family.IPV6 else 0)):
                interface = seen.interface
                alone = interface.network.prefixlen == interface.max_prefixlen
                ranked = _Ranked(
                    interface.ip, bool(seen.flags & _DEPRECATED), alone, bool(seen.flags & _TEMPORARY)
                )
                of_link.setdefault(seen.index, []).append(ranked)
    return tuple(_with_addresses(link, of_link.get(link.index, ())) for link in found)


@dataclass(frozen=True, slots=True)
class _Ranked:
    """An address. `alone`: a /32 or /128, as a virtual address that moves between hosts has beside the host's own."""

    address: IPAddress
    deprecated: bool
    alone: bool
    second: bool

    @property
    def rank(self) -> tuple[bool, bool, bool]:
        return self.deprecated, self.alone, self.second


def _with_addresses(link: HostLink, ranked: Iterable[_Ranked]) -> HostLink:
    ordered = sorted(ranked, key=lambda one: one.rank)
    lesser = frozenset(one.address for one in ordered if one.deprecated or one.alone)
    return replace(link, addresses=tuple(one.address for one in ordered), lesser=lesser)


def _host_link(buffer: bytes, start: int, end: int) -> HostLink:
    seen = links.seen_link(buffer, start, end)
    found = attributes(buffer, start + HEADER_SIZE + 16, end)
    flags = U32.unpack_from(buffer, start + HEADER_SIZE + 8)[0]
    return HostLink(
        index=seen.index,
        name=seen.name,
        mtu=U32.unpack(found[_MTU])[0] if _MTU in found else 0,
        up=seen.up,
        carrier=bool(flags & _IFF_LOWER_UP),
        loopback=bool(flags & _IFF_LOOPBACK),
        alias=seen.alias,
        # a link of another namespace has an index there, which may be somebody else's here
        lower=0 if _LOWER_NAMESPACE in found else _index(found.get(_LOWER)),
        master=_index(found.get(_MASTER)),
    )


def _index(packed: bytes | None) -> int:
    return U32.unpack(packed)[0] if packed else 0


async def read_routes(
    requests: RequestSocket, host_links: Iterable[HostLink], ours: frozenset[str]
) -> tuple[HostRoute, ...]:
    """Return the main table without our routes; a route with several next hops becomes one HostRoute for each."""
    names = {link.index: link.name for link in host_links}
    skip = {index for index, name in names.items() if name in ours}
    skip |= {link.index for link in host_links if link.alias == LINK_ALIAS}
    found: list[HostRoute] = []

    def parse(buffer: bytes, start: int, end: int) -> tuple[HostRoute, ...]:
        if buffer[start + HEADER_SIZE + 5] == ROUTE_PROTO:  # rtm_protocol, before any costlier look
            return ()
        return _host_routes(buffer, start, end, names, skip)

    for family in Family:
        for hops in await requests.dump(entries.route_dump(family, MAIN_TABLE), parse):
            found += hops
    return tuple(found)


def _host_routes(
    buffer: bytes, start: int, end: int, names: Mapping[int, str], skip: set[int]
) -> tuple[HostRoute, ...]:
    family, length, *_, kind, flags = _RTMSG.unpack_from(buffer, start + HEADER_SIZE)
    if kind != _RTN_UNICAST or flags & _RTM_F_CLONED:
        return ()
    found = attributes(buffer, start + _RTMSG_ATTRIBUTES_AT, end)
    base = found.get(rtnl.RTA["RTA_DST"]) or bytes(Family(family).bits // 8)
    if is_link_scoped(base):
        return ()
    destination = dumps.ip_network(base, length)
    priority = found.get(rtnl.RTA["RTA_PRIORITY"])
    metric = U32.unpack(priority)[0] if priority else 0
    return tuple(
        HostRoute(destination, names[index], gateway, metric)
        for index, gateway in _hops(found)
        if index in names and index not in skip
    )


def is_link_scoped(base: bytes) -> bool:
    """Report whether an address is of fe80::/10 or ff00::/8, which every link has, each veth too: of no interest."""
    return len(base) == 16 and (base[0] == 0xFF or (base[0] == 0xFE and base[1] & 0xC0 == 0x80))


def _hops(found: Mapping[int, bytes]) -> Iterable[tuple[int, IPAddress | None]]:
    if rtnl.RTA["RTA_MULTIPATH"] in found:
        yield from _next_hops(found[rtnl.RTA["RTA_MULTIPATH"]])
    elif rtnl.RTA["RTA_OIF"] in found:
        yield U32.unpack(found[rtnl.RTA["RTA_OIF"]])[0], _gateway(found)


def _next_hops(packed: bytes) -> Iterable[tuple[int, IPAddress | None]]:
    position = 0
    while position + _RTNEXTHOP.size <= len(packed):
        length, _, _, index = _RTNEXTHOP.unpack_from(packed, position)
        if length < _RTNEXTHOP.size:
            return
        yield index, _gateway(attributes(packed, position + _RTNEXTHOP.size, position + length))
        position += (length + 3) & ~3


def _gateway(found: Mapping[int, bytes]) -> IPAddress | None:
    gateway = found.get(rtnl.RTA["RTA_GATEWAY"])
    if gateway is not None:
        return dumps.ip_address(gateway)
    via = found.get(rtnl.RTA["RTA_VIA"])  # struct rtvia: a gateway of the other family
    return dumps.ip_address(via[2:]) if via is not None else None


async def reached_link(
    requests: RequestSocket, target: IPAddress, host_links: Iterable[HostLink]
) -> str | None:
    """Return the link by which the kernel would send to `target`."""
    family = Family.of(target)
    body = _RTMSG.pack(family, family.bits, 0, 0, 0, 0, 0, 0, 0)
    body += attribute(rtnl.RTA["RTA_DST"], target.packed)
    answer = await requests.ask(frame(rtnl.GETROUTE, numbers.REQUEST, body))
    if isinstance(answer, framing.KernelRefusal):
        return None
    oif = attributes(answer, _RTMSG_ATTRIBUTES_AT, len(answer)).get(rtnl.RTA["RTA_OIF"])
    index = U32.unpack(oif)[0] if oif else 0
    return next((link.name for link in host_links if link.index == index), None)


async def read_forwarding(requests: RequestSocket, family: Family) -> bool:
    """Read `net.ipv4.ip_forward`, or `net.ipv6.conf.all.forwarding`. True if the kernel has no such family."""
    body = bytes([family]) + bytes(3) + attribute(_NETCONFA_IFINDEX, S32.pack(ALL_LINKS))
    answer = await requests.ask(frame(rtnl.GETNETCONF, numbers.REQUEST, body))
    if isinstance(answer, framing.KernelRefusal):
        return True
    said = forwarding(answer, 0, len(answer))
    return said is None or said.enabled


async def read_not_forwarding(requests: RequestSocket) -> frozenset[int]:
    """Return the links (indices) whose own IPv4 forwarding is off, whatever the host's.

    IPv6 has no such switch: a link's own `forwarding` only says whether the host is a router there, and packets are
    forwarded by `all` alone (ip-sysctl, conf/interface/forwarding).
    """

    def parse(buffer: bytes, start: int, end: int) -> int | None:
        said = forwarding(buffer, start, end)
        return said.index if said is not None and said.index > 0 and not said.enabled else None

    request = frame(rtnl.GETNETCONF, numbers.REQUEST | numbers.DUMP, bytes([Family.IPV4, 0, 0, 0]))
    return frozenset(await requests.dump(request, parse))


def forwarding(buffer: bytes, start: int, end: int) -> Forwarding | None:
    """Return the forwarding state in a netconf message, None if it has none."""
    found = attributes(buffer, start + HEADER_SIZE + 4, end)
    if _NETCONFA_IFINDEX not in found or _NETCONFA_FORWARDING not in found:
        return None
    return Forwarding(
        buffer[start + HEADER_SIZE],
        S32.unpack(found[_NETCONFA_IFINDEX])[0],
        bool(S32.unpack(found[_NETCONFA_FORWARDING])[0]),
    )


def is_against_us(buffer: bytes, start: int, end: int) -> bool:
    """Report whether a netconf message shows a value that we never set.

    That is forwarding off, a strict reverse-path filter, or answers to ARP for others.
    """
    found = attributes(buffer, start + HEADER_SIZE + 4, end)
    against = {_NETCONFA_FORWARDING: 0, _NETCONFA_RP_FILTER: STRICT, _NETCONFA_PROXY_NEIGH: 1}
    return any(name in found and S32.unpack(found[name])[0] == value for name, value in against.items())


def switched_link(buffer: bytes, start: int, end: int) -> int | None:
    """Return the link (index) of whose switches a netconf message tells, None if it tells of none that we set."""
    found = attributes(buffer, start + HEADER_SIZE + 4, end)
    if _NETCONFA_IFINDEX not in found or found.keys().isdisjoint(_SWITCHES):
        return None
    index: int = S32.unpack(found[_NETCONFA_IFINDEX])[0]
    return index


_SWITCHES = frozenset({_NETCONFA_FORWARDING, _NETCONFA_RP_FILTER, _NETCONFA_PROXY_NEIGH})


def kernel_release(text: str = "") -> tuple[int, int] | None:
    """Return the major and minor number of the running kernel, or of a `uname -r` text; None for other texts."""
    found = re.match(r"(\d{1,4})\.(\d{1,4})", text or os.uname().release)
    return (int(found[1]), int(found[2])) if found else None
