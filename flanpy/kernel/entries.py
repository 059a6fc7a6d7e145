"""Neighbours, FDB entries and routes as rtnetlink messages: the packing side of the hot path.

Bytes equal what pyroute2's encoder makes of the same fields (tests/kernel/test_entries.py); packed by `struct`
because that encoder takes 60 to 100 us a message. Must not: open a socket, or choose what to write.
"""

from __future__ import annotations

import struct
from ipaddress import IPv6Address

from flanpy.model.address import Family, IPAddress, Mac
from flanpy.model.objects import Blackhole, FdbEntry, FloodEntry, LocalRoute, Neighbour, OtherRoute, Route
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import U32, attribute, frame
from flanpy.netlink.rtnl import NDA, RTA

_NO_MAC = Mac(bytes(6))
RTNH_F_ONLINK = 4
IPV6_DEFAULT_METRIC = 1024
_RTN_UNICAST = 1
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST, _SCOPE_NOWHERE = 0, 253, 254, 255
_LOOPBACK = 1
"""The index of `lo`, the same in every network namespace."""
_TABLE_UNSPEC, _TABLES_IN_HEADER = 0, 256

# ndmsg: family, pad, pad, ifindex, state, flags, type; then two attributes (linux/neighbour.h)
_NEIGHBOUR = {
    Family.IPV4: struct.Struct("=IHHII BBHiHBB HH4s HH6s2x".replace(" ", "")),
    Family.IPV6: struct.Struct("=IHHII BBHiHBB HH16s HH6s2x".replace(" ", "")),
}
_FDB = {
    Family.IPV4: struct.Struct("=IHHII BBHiHBB HH6s2x HH4s".replace(" ", "")),
    Family.IPV6: struct.Struct("=IHHII BBHiHBB HH6s2x HH16s".replace(" ", "")),
}
_NDMSG = struct.Struct("=BBHiHBB")
_RTMSG = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, protocol, scope, type, flags


def neighbour(kind: int, flags: int, index: int, entry: Neighbour) -> bytearray:
    """RTM_NEWNEIGH or RTM_DELNEIGH for a PERMANENT neighbour."""
    family = Family.of(entry.address)
    form = _NEIGHBOUR[family]
    packed = entry.address.packed
    return bytearray(
        form.pack(
            form.size, kind, flags, 0, 0,
            family, 0, 0, index, rtnl.NUD_PERMANENT, 0, 0,
            4 + len(packed), NDA["NDA_DST"], packed,
            10, NDA["NDA_LLADDR"], entry.mac.packed,
        )
    )  # fmt: skip


def fdb(kind: int, flags: int, index: int, entry: FdbEntry) -> bytearray:
    """RTM_NEWNEIGH or RTM_DELNEIGH for one destination of a MAC in a VXLAN device's own FDB (NTF_SELF)."""
    form = _FDB[Family.of(entry.destination)]
    packed = entry.destination.packed
    return bytearray(
        form.pack(
            form.size, kind, flags, 0, 0,
            rtnl.AF_BRIDGE, 0, 0, index, rtnl.NUD_PERMANENT, rtnl.NTF_SELF, 0,
            10, NDA["NDA_LLADDR"], entry.mac.packed,
            4 + len(packed), NDA["NDA_DST"], packed,
        )
    )  # fmt: skip


def flood(kind: int, flags: int, index: int, entry: FloodEntry) -> bytearray:
    """The same for one destination of the all-zero MAC; a deletion takes this one alone."""
    return fdb(kind, flags, index, FdbEntry(entry.link, _NO_MAC, entry.destination))


def fdb_without_destination(kind: int, flags: int, index: int, mac: bytes) -> bytearray:
    """The same for a MAC whatever its destinations are: a deletion takes them all."""
    body = _NDMSG.pack(rtnl.AF_BRIDGE, 0, 0, index, rtnl.NUD_PERMANENT, rtnl.NTF_SELF, 0)
    return frame(kind, flags, body + attribute(NDA["NDA_LLADDR"], mac))


def neighbour_question(index: int, address: IPAddress) -> bytearray:
    """RTM_GETNEIGH for one neighbour; strict checking wants all but the family and the link to be zero."""
    body = _NDMSG.pack(Family.of(address), 0, 0, index, 0, 0, 0)
    return frame(rtnl.GETNEIGH, numbers.REQUEST, body + attribute(NDA["NDA_DST"], address.packed))


def fdb_question(index: int, mac: bytes) -> bytearray:
    """RTM_GETNEIGH for one MAC of a VXLAN device."""
    body = _NDMSG.pack(rtnl.AF_BRIDGE, 0, 0, index, 0, rtnl.NTF_SELF, 0)
    return frame(rtnl.GETNEIGH, numbers.REQUEST, body + attribute(NDA["NDA_LLADDR"], mac))


def route(kind: int, flags: int, index: int, entry: Route) -> bytearray:
    """RTM_NEWROUTE or RTM_DELROUTE for a unicast route with one next hop.

    A deletion carries everything we know, so that it cannot hit another route to the same destination: of an IPv6
    route without gateway the gateway `::`, as the kernel takes a deletion that names none for any.
    """
    gateway = entry.gateway
    if gateway is None and kind == rtnl.DELROUTE and entry.destination.version == 6:
        gateway = IPv6Address(0)
    scope = _SCOPE_LINK if gateway is None else _SCOPE_UNIVERSE
    head = _RTMSG.pack(
        Family.of(entry.destination), entry.destination.prefixlen, 0, 0, _table_in_header(entry.table),
        entry.proto, _SCOPE_NOWHERE if kind == rtnl.DELROUTE else scope, _RTN_UNICAST,
        RTNH_F_ONLINK if entry.onlink else 0,
    )  # fmt: skip
    body = head + _destination(entry)
    if gateway is not None:
        body += attribute(RTA["RTA_GATEWAY"], gateway.packed)
    body += attribute(RTA["RTA_OIF"], U32.pack(index))
    return frame(kind, flags, body + _metric_and_table(entry))


def blackhole(flags: int, entry: Blackhole) -> bytearray:
    """RTM_NEWROUTE for a route that drops; it has no link."""
    head = _RTMSG.pack(
        Family.of(entry.destination), entry.destination.prefixlen, 0, 0, _table_in_header(entry.table),
        entry.proto, _SCOPE_UNIVERSE, rtnl.ROUTE_TYPES["blackhole"], 0,
    )  # fmt: skip
    return frame(rtnl.NEWROUTE, flags, head + _destination(entry) + _metric_and_table(entry))


def local_route(flags: int, entry: LocalRoute) -> bytearray:
    """RTM_NEWROUTE for a route that ends in this host, by its loopback device."""
    head = _RTMSG.pack(
        Family.of(entry.destination), entry.destination.prefixlen, 0, 0, _table_in_header(entry.table),
        entry.proto, _SCOPE_HOST, rtnl.ROUTE_TYPES["local"], 0,
    )  # fmt: skip
    oif = attribute(RTA["RTA_OIF"], U32.pack(_LOOPBACK))
    return frame(rtnl.NEWROUTE, flags, head + _destination(entry) + oif + _metric_and_table(entry))


def other_route_deletion(entry: Blackhole | LocalRoute | OtherRoute) -> bytearray:
    """RTM_DELROUTE for a route of no link of ours, by its key, protocol and type."""
    match entry:
        case OtherRoute():
            kind = entry.kind
        case LocalRoute():
            kind = "local"
        case Blackhole():
            kind = "blackhole"
    head = _RTMSG.pack(
        Family.of(entry.destination), entry.destination.prefixlen, 0, 0, _table_in_header(entry.table),
        entry.proto, _SCOPE_NOWHERE, rtnl.ROUTE_TYPES.get(kind, _RTN_UNICAST), 0,
    )  # fmt: skip
    return frame(rtnl.DELROUTE, numbers.REQUEST, head + _destination(entry) + _metric_and_table(entry))


def _table_in_header(table: int) -> int:
    return table if table < _TABLES_IN_HEADER else _TABLE_UNSPEC


def _destination(entry: Route | Blackhole | LocalRoute | OtherRoute) -> bytes:
    return attribute(RTA["RTA_DST"], entry.destination.network_address.packed)


def kernel_metric(entry: Route | Blackhole | LocalRoute | OtherRoute) -> int:
    """The metric as the kernel holds it: IPv6 knows no 0 and makes it 1024 (IP6_RT_PRIO_USER)."""
    return entry.metric or (IPV6_DEFAULT_METRIC if entry.destination.version == 6 else 0)


def _metric_and_table(entry: Route | Blackhole | LocalRoute | OtherRoute) -> bytes:
    rest = b""
    metric = kernel_metric(entry)
    if metric:
        rest += attribute(RTA["RTA_PRIORITY"], U32.pack(metric))
    if entry.table >= _TABLES_IN_HEADER:
        rest += attribute(RTA["RTA_TABLE"], U32.pack(entry.table))
    return rest


def neighbour_dump(family: int, index: int) -> bytearray:
    """RTM_GETNEIGH dump of one link: neighbours of a family, or (AF_BRIDGE) the link's FDB."""
    if family == rtnl.AF_BRIDGE:
        return frame(rtnl.GETNEIGH, numbers.REQUEST | numbers.DUMP, _NDMSG.pack(family, 0, 0, index, 0, 0, 0))
    body = _NDMSG.pack(family, 0, 0, 0, 0, 0, 0) + attribute(NDA["NDA_IFINDEX"], U32.pack(index))
    return frame(rtnl.GETNEIGH, numbers.REQUEST | numbers.DUMP, body)


def route_dump(family: Family, table: int) -> bytearray:
    """RTM_GETROUTE dump of one table."""
    body = _RTMSG.pack(family, 0, 0, 0, _table_in_header(table), 0, 0, 0, 0)
    return frame(
        rtnl.GETROUTE, numbers.REQUEST | numbers.DUMP, body + attribute(RTA["RTA_TABLE"], U32.pack(table))
    )
