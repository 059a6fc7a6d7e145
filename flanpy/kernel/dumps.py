"""Dumps of neighbours, FDB entries and routes as model objects: the reading side of the hot path.

Each parser takes (buffer, start, end) of one message, as `RequestSocket.dump` hands them out, and returns the
object with its key, or None for an entry that a read-back leaves out. Must not: open a socket.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from flanpy.kernel.entries import IPV6_DEFAULT_METRIC, RTNH_F_ONLINK
from flanpy.kernel.recall import Known, Recall, RouteWire
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.objects import (
    BLACKHOLE_METRIC,
    ROUTE_PROTO,
    Blackhole,
    FdbEntry,
    FloodEntry,
    LocalRoute,
    Neighbour,
    OtherRoute,
    Route,
)
from flanpy.netlink import rtnl
from flanpy.netlink.framing import ATTRIBUTE, HEADER_SIZE, U32, attributes
from flanpy.netlink.rtnl import NDA, RTA

Parser = Callable[[bytes, int, int], Known | None]

_NDMSG_ATTRIBUTES_AT = HEADER_SIZE + 12
_NDM_STATE = struct.Struct("=H")
_NDM_STATE_AT = HEADER_SIZE + 8
_RTMSG = struct.Struct("=BBBBBBBBI")
_RTMSG_ATTRIBUTES_AT = HEADER_SIZE + _RTMSG.size


def _attribute_head(kind: int) -> int:
    """Return the length and type of an attribute with four bytes, as one number in host order."""
    return U32.unpack(ATTRIBUTE.pack(8, kind))[0]  # type: ignore[no-any-return]


_DST, _LLADDR = NDA["NDA_DST"], NDA["NDA_LLADDR"]
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = RTA["RTA_DST"], RTA["RTA_OIF"], RTA["RTA_GATEWAY"]
_RTA_PRIORITY, _RTA_TABLE = RTA["RTA_PRIORITY"], RTA["RTA_TABLE"]
_PAIRS = {
    _DST: struct.Struct("=24xHxxHH4sHH6s"),  # a neighbour: state, then address and MAC
    _LLADDR: struct.Struct("=24xHxxHH6s2xHH4s"),  # an FDB entry: state, then MAC and destination
}
_PAIR_LENGTHS = {_DST: (8, 10), _LLADDR: (10, 8)}
_PAIR_END = _NDMSG_ATTRIBUTES_AT + 20
_RTM_F_CLONED = 0x200
_RTN_UNICAST = 1
_STRANGE: Mapping[int, str] = {
    RTA["RTA_MULTIPATH"]: "multipath",
    RTA["RTA_VIA"]: "via",
    RTA["RTA_ENCAP"]: "encap",
    30: "nexthop",  # RTA_NH_ID, which pyroute2's table may not reach
}
_TYPE_NAMES = {number: name for name, number in rtnl.ROUTE_TYPES.items()}

# nlmsghdr, rtmsg, then TABLE, DST, GATEWAY and OIF, each of four bytes
_USUAL = struct.Struct("=16x xBBBxBxBI II I4s I4s II".replace(" ", ""))
_USUAL_SHAPE = (
    0,
    0,
    _RTN_UNICAST,
    *(_attribute_head(a) for a in (_RTA_TABLE, _RTA_DST, _RTA_GATEWAY, _RTA_OIF)),
)


def ip_address(packed: bytes) -> IPAddress:
    """Return an address from its 4 or 16 bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def ip_network(packed: bytes, length: int) -> IPNetwork:
    """Return a network from its base's bytes and its prefix length."""
    return IPv4Network((packed, length)) if len(packed) == 4 else IPv6Network((packed, length))


def neighbours(link: str, old: Recall, new: Recall) -> Parser:
    """Return the PERMANENT neighbours of one link."""

    def parse(buffer: bytes, start: int, end: int) -> Known | None:
        if (found := _pair(buffer, start, end, _DST, _LLADDR)) is None:
            return None
        address, mac = found
        wire = (link, address, mac)
        known = old.neighbours.get(wire)
        if known is None:
            neighbour = Neighbour(link, new.address(address), new.mac(mac))
            known = (neighbour.key, neighbour)
        new.neighbours[wire] = known
        return known

    return parse


def fdb_entries(link: str, old: Recall, new: Recall) -> Parser:
    """Return the PERMANENT FDB entries of one VXLAN device that have a destination.

    Those of the all-zero MAC are one FloodEntry each. Multicast MACs can have several, too, and we put none of them:
    one of a foreign MAC's destinations is enough, as deletion removes the MAC with all of them.
    """

    def parse(buffer: bytes, start: int, end: int) -> Known | None:
        if (found := _pair(buffer, start, end, _LLADDR, _DST)) is None:
            return None
        mac, destination = found
        wire = (link, mac, destination)
        known = old.fdb.get(wire)
        if known is None:
            there = ip_address(destination)
            entry = FdbEntry(link, new.mac(mac), there) if any(mac) else FloodEntry(link, there)
            known = (entry.key, entry)
        new.fdb[wire] = known
        return known

    return parse


def _pair(buffer: bytes, start: int, end: int, first: int, second: int) -> tuple[bytes, bytes] | None:
    """Return the two attributes of a PERMANENT entry that has both, one of them the MAC.

    The kernel writes them first and in this order, so for IPv4 they are where `_PAIRS` says; otherwise they are
    searched.
    """
    if end - start >= _PAIR_END:
        state, length1, kind1, value1, length2, kind2, value2 = _PAIRS[first].unpack_from(buffer, start)
        if kind1 == first and kind2 == second and (length1, length2) == _PAIR_LENGTHS[first]:
            return (value1, value2) if state & rtnl.NUD_PERMANENT else None
    if not _NDM_STATE.unpack_from(buffer, start + _NDM_STATE_AT)[0] & rtnl.NUD_PERMANENT:
        return None
    found = attributes(buffer, start + _NDMSG_ATTRIBUTES_AT, end)
    if first not in found or second not in found or len(found[_LLADDR]) != 6:
        return None
    return found[first], found[second]


def routes(names: Mapping[int, str], old: Recall, new: Recall) -> Parser:
    """Return the routes of any owner except `proto kernel`; `names` are the links by index."""

    def parse(buffer: bytes, start: int, end: int) -> Known | None:
        wire = _usual_route(buffer, start, end, names)
        if wire is None:
            found = _any_route(buffer, start, end, names)
            if found is None or not isinstance(found, tuple):
                return None if found is None else (found.key, found)
            wire = found
        known = old.routes.get(wire)
        if known is None:
            route = _route(wire, new)
            known = (route.key, route)
        new.routes[wire] = known
        return known

    return parse


def _usual_route(buffer: bytes, start: int, end: int, names: Mapping[int, str]) -> RouteWire | None:
    """Return an IPv4 route of the shape that we make, read at the kernel's usual offsets; None for any other."""
    if end - start != _USUAL.size:
        return None
    (
        length, source_length, tos, proto, kind, flags,
        table_at, table, base_at, base, gateway_at, gateway, oif_at, index,
    ) = _USUAL.unpack_from(buffer, start)  # fmt: skip
    shape = (source_length, tos, kind, table_at, base_at, gateway_at, oif_at)
    if shape != _USUAL_SHAPE or proto == rtnl.PROTO_KERNEL or index not in names:
        return None
    return names[index], base, length, gateway, 0, table, proto, bool(flags & RTNH_F_ONLINK)


def _any_route(
    buffer: bytes, start: int, end: int, names: Mapping[int, str]
) -> RouteWire | Blackhole | LocalRoute | OtherRoute | None:
    family, length, source_length, tos, table, proto, _, kind, flags = _RTMSG.unpack_from(
        buffer, start + HEADER_SIZE
    )
    if proto == rtnl.PROTO_KERNEL or flags & _RTM_F_CLONED:
        return None
    found = attributes(buffer, start + _RTMSG_ATTRIBUTES_AT, end)
    base = found.get(_RTA_DST) or bytes(Family(family).bits // 8)
    metric = U32.unpack(found[_RTA_PRIORITY])[0] if _RTA_PRIORITY in found else 0
    if _RTA_TABLE in found:
        table = U32.unpack(found[_RTA_TABLE])[0]
    strange = _strangeness(found, kind, tos, source_length)
    if strange or _RTA_OIF not in found:
        shape = strange or "unicast"
        if (shape, metric, proto) == ("blackhole", BLACKHOLE_METRIC, ROUTE_PROTO):
            return Blackhole(ip_network(base, length), metric, table, proto)
        if (shape, proto) == ("local", ROUTE_PROTO):
            return LocalRoute(ip_network(base, length), model_metric(base, metric), table, proto)
        return OtherRoute(ip_network(base, length), shape, table, model_metric(base, metric), proto)
    index = U32.unpack(found[_RTA_OIF])[0]
    link = names.get(index) or f"if{index}"
    return link, base, length, found.get(_RTA_GATEWAY), metric, table, proto, bool(flags & RTNH_F_ONLINK)


def _route(wire: RouteWire, recall: Recall) -> Route:
    link, base, length, gateway, metric, table, proto, onlink = wire
    return Route(
        ip_network(base, length),
        link,
        None if gateway is None else recall.address(gateway),
        onlink,
        table,
        model_metric(base, metric),
        proto,
    )


def model_metric(destination: bytes, metric: int) -> int:
    """Return the model's metric: IPv6's default is our 0; the kernel does not record which of the two was given."""
    return 0 if metric == IPV6_DEFAULT_METRIC and len(destination) == 16 else metric


def _strangeness(found: Mapping[int, bytes], kind: int, tos: int, source_length: int) -> str:
    if kind != _RTN_UNICAST:
        return _TYPE_NAMES.get(kind, str(kind))
    if tos:
        return "tos"
    if source_length:
        return "source"
    return next((name for number, name in _STRANGE.items() if number in found), "")


def permanent(answer: bytes) -> bool:
    """Report whether the neighbour or FDB entry in an RTM_NEWNEIGH message is PERMANENT."""
    return bool(_NDM_STATE.unpack_from(answer, _NDM_STATE_AT)[0] & rtnl.NUD_PERMANENT)
