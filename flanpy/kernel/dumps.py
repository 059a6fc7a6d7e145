"""Dumps of neighbours, FDB entries and routes as model objects: the reading side of the hot path.

Each parser takes (buffer, start, end) of one message, as `RequestSocket.dump` hands them out, and returns the
object with its key, or None for what a read-back leaves out. Must not: open a socket.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from flanpy.kernel import rtnl
from flanpy.kernel.entries import IPV6_DEFAULT_METRIC, RTNH_F_ONLINK
from flanpy.kernel.recall import Known, Recall
from flanpy.kernel.rtnl import NDA, RTA
from flanpy.kernel.wire import HEADER_SIZE, U32, attributes
from flanpy.model.address import Family, IPAddress, IPNetwork, Mac
from flanpy.model.objects import FdbEntry, Neighbour, OtherRoute, Route

Parser = Callable[[bytes, int, int], Known | None]

_NDMSG_ATTRIBUTES_AT = HEADER_SIZE + 12
_NDM_STATE = struct.Struct("=H")
_NDM_STATE_AT = HEADER_SIZE + 8
_RTMSG = struct.Struct("=BBBBBBBBI")
_RTMSG_ATTRIBUTES_AT = HEADER_SIZE + _RTMSG.size
_DST, _LLADDR = NDA["NDA_DST"], NDA["NDA_LLADDR"]
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = RTA["RTA_DST"], RTA["RTA_OIF"], RTA["RTA_GATEWAY"]
_RTA_PRIORITY, _RTA_TABLE = RTA["RTA_PRIORITY"], RTA["RTA_TABLE"]
_RTM_F_CLONED = 0x200
_RTN_UNICAST = 1
_STRANGE: Mapping[int, str] = {
    RTA["RTA_MULTIPATH"]: "multipath",
    RTA["RTA_VIA"]: "via",
    RTA["RTA_ENCAP"]: "encap",
    30: "nexthop",  # RTA_NH_ID, which pyroute2's table may not reach
}
_TYPE_NAMES = {number: name for name, number in rtnl.ROUTE_TYPES.items()}

_ZERO = {4: b"\0" * 4, 16: b"\0" * 16}


def ip_address(packed: bytes) -> IPAddress:
    """An address from its 4 or 16 bytes."""
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def ip_network(packed: bytes, length: int) -> IPNetwork:
    """A network from its base's bytes and its prefix length."""
    return IPv4Network((packed, length)) if len(packed) == 4 else IPv6Network((packed, length))


def neighbours(link: str, old: Recall, new: Recall) -> Parser:
    """PERMANENT neighbours of one link."""

    def parse(buffer: bytes, start: int, end: int) -> Known | None:
        if not _NDM_STATE.unpack_from(buffer, start + _NDM_STATE_AT)[0] & rtnl.NUD_PERMANENT:
            return None
        found = attributes(buffer, start + _NDMSG_ATTRIBUTES_AT, end)
        address, mac = found.get(_DST), found.get(_LLADDR)
        if address is None or mac is None or len(mac) != 6:
            return None
        wire = (link, address, mac)
        known = old.neighbours.get(wire)
        if known is None:
            neighbour = Neighbour(link, ip_address(address), Mac(mac))
            known = (neighbour.key, neighbour)
        new.neighbours[wire] = known
        return known

    return parse


def fdb_entries(link: str, old: Recall, new: Recall) -> Parser:
    """PERMANENT FDB entries of one VXLAN device that have a destination.

    Only the all-zero and multicast MACs can have several destinations, and we put none of them: of theirs one is
    enough, as deletion takes the MAC with all.
    """

    def parse(buffer: bytes, start: int, end: int) -> Known | None:
        if not _NDM_STATE.unpack_from(buffer, start + _NDM_STATE_AT)[0] & rtnl.NUD_PERMANENT:
            return None
        found = attributes(buffer, start + _NDMSG_ATTRIBUTES_AT, end)
        destination, mac = found.get(_DST), found.get(_LLADDR)
        if destination is None or mac is None or len(mac) != 6:
            return None
        wire = (link, mac, destination)
        known = old.fdb.get(wire)
        if known is None:
            entry = FdbEntry(link, Mac(mac), ip_address(destination))
            known = (entry.key, entry)
        new.fdb[wire] = known
        return known

    return parse


def routes(names: Mapping[int, str], old: Recall, new: Recall) -> Parser:
    """Routes of any owner but `proto kernel`; `names` are the links by index."""

    def parse(buffer: bytes, start: int, end: int) -> Known | None:
        family, length, source_length, tos, table, proto, _, kind, flags = _RTMSG.unpack_from(
            buffer, start + HEADER_SIZE
        )
        if proto == rtnl.PROTO_KERNEL or flags & _RTM_F_CLONED:
            return None
        found = attributes(buffer, start + _RTMSG_ATTRIBUTES_AT, end)
        destination = found.get(_RTA_DST) or _ZERO[Family(family).bits // 8]
        metric = U32.unpack(found[_RTA_PRIORITY])[0] if _RTA_PRIORITY in found else 0
        if _RTA_TABLE in found:
            table = U32.unpack(found[_RTA_TABLE])[0]
        oif = found.get(_RTA_OIF)
        strange = _strangeness(found, kind, tos, source_length)
        if strange or oif is None:
            return _other_route(destination, length, strange or "unicast", table, metric, proto)
        index = U32.unpack(oif)[0]
        gateway = found.get(_RTA_GATEWAY)
        onlink = bool(flags & RTNH_F_ONLINK)
        wire = (
            names.get(index) or f"if{index}", destination, length, gateway, metric, table, proto, onlink
        )  # fmt: skip
        known = old.routes.get(wire)
        if known is None:
            route = Route(
                destination=ip_network(destination, length),
                link=wire[0],
                gateway=None if gateway is None else ip_address(gateway),
                onlink=onlink,
                table=table,
                metric=model_metric(destination, metric),
                proto=proto,
            )
            known = (route.key, route)
        new.routes[wire] = known
        return known

    return parse


def model_metric(destination: bytes, metric: int) -> int:
    """IPv6's default metric is our 0; the kernel does not remember which of the two was asked for."""
    return 0 if metric == IPV6_DEFAULT_METRIC and len(destination) == 16 else metric


def _strangeness(found: Mapping[int, bytes], kind: int, tos: int, source_length: int) -> str:
    if kind != _RTN_UNICAST:
        return _TYPE_NAMES.get(kind, str(kind))
    if tos:
        return "tos"
    if source_length:
        return "source"
    return next((name for number, name in _STRANGE.items() if number in found), "")


def _other_route(destination: bytes, length: int, kind: str, table: int, metric: int, proto: int) -> Known:
    route = OtherRoute(ip_network(destination, length), kind, table, model_metric(destination, metric), proto)
    return route.key, route


def permanent(answer: bytes) -> bool:
    """Whether the neighbour or FDB entry in an RTM_NEWNEIGH message is PERMANENT."""
    return bool(_NDM_STATE.unpack_from(answer, _NDM_STATE_AT)[0] & rtnl.NUD_PERMANENT)
