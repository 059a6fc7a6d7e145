"""The meaning of one rtnetlink notification: nothing, facts to be read again, or a change of an object of ours.

Pure apart from its record of links. Must not: open a socket, or call other parts.

A notification that our own change caused is recognised by its port id where the kernel fills that in. A VXLAN device's
FDB and a deleted neighbour are announced without one; those are compared with the messages just written (`Echoes`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Flag, auto

from flanpy.errors import MALFORMED
from flanpy.kernel import dumps, host
from flanpy.kernel.links import seen_address
from flanpy.kernel.port import Moved
from flanpy.model.address import Family, IPNetwork
from flanpy.model.bridge import is_named_port
from flanpy.model.objects import MAIN_TABLE, ROUTE_PROTO
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import HEADER, HEADER_SIZE, U16, U32, attributes, text
from flanpy.netlink.rtnl import IFLA, NDA, RTA

_IFINFOMSG = struct.Struct("=BxHiII")
_NDMSG = struct.Struct("=BxxxiHBB")
_RTMSG = struct.Struct("=BBBBBBBBI")
_SHOWN = ("IFLA_IFNAME", "IFLA_MTU", "IFLA_ADDRESS", "IFLA_IFALIAS", "IFLA_MASTER", "IFLA_LINK")
_CARRIER = ("IFLA_OPERSTATE", "IFLA_CARRIER")
_IFF_CARRIER = 0x10000 | 0x40  # LOWER_UP, RUNNING
_ENTRIES = frozenset({rtnl.NEWNEIGH, rtnl.DELNEIGH, rtnl.NEWROUTE, rtnl.DELROUTE})
_NUD_NOARP = 0x40  # multicast groups
_TYPE_AT = 4
_LINK_CHANGES = frozenset({rtnl.NEWLINK, rtnl.SETLINK, rtnl.DELLINK, rtnl.NEWADDR, rtnl.DELADDR})
_UNSETTLED = (
    0x01 | 0x08 | 0x10 | 0x20 | _NUD_NOARP
)  # INCOMPLETE, DELAY, PROBE, FAILED: the kernel's own doing


class StaleFacts(Flag):
    """The facts that must be read again."""

    NOTHING = 0
    LINKS = auto()
    ROUTES = auto()
    FORWARDING = auto()
    RULES = auto()
    EVERYTHING = LINKS | ROUTES | FORWARDING | RULES


@dataclass(frozen=True, slots=True)
class Notice:
    stale: StaleFacts = StaleFacts.NOTHING
    moved: Moved | None = None


_NOTHING = Notice()


@dataclass(frozen=True, slots=True)
class _Shown:
    """A link as a notification shows it: the attributes that people can change, and its carrier."""

    name: str
    up: bool
    values: tuple[bytes | None, ...]
    carrier: tuple[object, ...]


class Echoes:
    """FDB entries and neighbours among messages that we just sent, decoded only when a notification needs it."""

    def __init__(self, written: Sequence[bytearray] = ()) -> None:
        self._written = written
        self._raw: set[bytes] | None = None
        self._known: set[tuple[int, int, bytes, bytes]] | None = None

    @property
    def may_touch_links(self) -> bool:
        """Report whether our write may have caused a notification about a link, an address or a setting.

        Neighbours, FDB entries and routes cause none: such a notification is another program's, however soon it comes.
        Settings are not messages, so an empty list of written messages stands for one of them.
        """
        kinds = (U16.unpack_from(message, _TYPE_AT)[0] for message in self._written)
        return not self._written or any(kind in _LINK_CHANGES for kind in kinds)

    @property
    def replace_routes(self) -> bool:
        """Report whether our write may have taken another program's route away, of which the kernel then tells only
        as of a new route of ours."""
        heads = (HEADER.unpack_from(message, 0) for message in self._written)
        return any(kind == rtnl.NEWROUTE and flags & numbers.REPLACE for _, kind, flags, *_ in heads)

    def contain_raw(self, datagram: bytes) -> bool:
        """Report whether this announces an FDB entry put by us, from the bytes alone (a burst is mostly that).

        A VXLAN device announces MAC and destination in the order in which we write them.
        """
        if self._raw is None:
            self._raw = {bytes(m[4:6] + m[20:24] + m[28:]) for m in self._written}
        head = datagram[4:6] + datagram[20:24]
        return head + datagram[28:48] in self._raw or head + datagram[28:60] in self._raw

    def contain(self, kind: int, index: int, subject: bytes, rest: bytes) -> bool:
        """Report whether we wrote it. `subject`: an FDB entry's MAC, a neighbour's address; `rest`: destination or
        empty."""
        if self._known is None:
            self._known = {echo for message in self._written for echo in _echoes(message)}
        return (kind, index, subject, rest) in self._known or (kind, index, subject, b"") in self._known


@dataclass(slots=True)
class NoticeBoard:
    """Judges notifications, given whose they are: our port, the names of our links, the ranges of our routes."""

    own_port: int = 0
    links: frozenset[str] = frozenset()
    networks: tuple[IPNetwork, ...] = ()
    routed: frozenset[str] = frozenset()
    """Links that have routes of the host: when one goes down, IPv4 routes go without a notification."""
    tables: frozenset[int] = frozenset()
    """Tables other than main that routing rules ask before it."""
    not_forwarding: frozenset[int] = frozenset()
    """Links (indices) whose own IPv4 forwarding was off when last read."""
    _shown: dict[int, _Shown] = field(default_factory=dict)

    def indices(self) -> frozenset[int]:
        """Return the present indices of our links."""
        return frozenset(index for index, shown in self._shown.items() if shown.name in self.links)

    def judge(self, buffer: bytes, start: int, end: int, *, echoes: Echoes | None) -> Notice:
        """Judge one notification. `echoes` follows our own change: events without a port id may then be its own.

        One that cannot be read may have said anything: everything is read again.
        """
        try:
            return self._judged(buffer, start, end, echoes)
        except MALFORMED:
            return Notice(StaleFacts.EVERYTHING, Moved.OVERRUN)

    def _judged(self, buffer: bytes, start: int, end: int, echoes: Echoes | None) -> Notice:
        _, kind, flags, _, port = HEADER.unpack_from(buffer, start)
        own = port == self.own_port or (port == 0 and echoes is not None and echoes.may_touch_links)
        if port == self.own_port and kind in _ENTRIES:
            return _NOTHING
        if kind in (rtnl.NEWNEIGH, rtnl.DELNEIGH):
            return self._neighbour(buffer, start, end, kind, echoes or Echoes())
        if kind in (rtnl.NEWROUTE, rtnl.DELROUTE):
            return self._route(buffer, start, end, replaced=bool(flags & numbers.REPLACE))
        if kind in (rtnl.NEWRULE, rtnl.DELRULE):
            return Notice(StaleFacts.RULES)
        if kind in (rtnl.NEWLINK, rtnl.DELLINK):
            notice = self._link(buffer, start, end, gone=kind == rtnl.DELLINK)
        elif kind in (rtnl.NEWADDR, rtnl.DELADDR):
            notice = self._address(buffer, start, end, kind)
        elif kind == rtnl.NEWNETCONF:
            notice = self._netconf(buffer, start, end)
            own = own and not host.is_against_us(buffer, start, end)
        else:
            return _NOTHING
        return Notice(notice.stale) if own else notice

    def learn(self, buffer: bytes, start: int, end: int) -> None:
        """Take a link from a dump into the record of links."""
        self._link(buffer, start, end, gone=False)

    def _link(self, buffer: bytes, start: int, end: int, *, gone: bool) -> Notice:
        family, _, index, flags, _ = _IFINFOMSG.unpack_from(buffer, start + HEADER_SIZE)
        if family:  # a bridge telling of its port
            return _NOTHING
        before = self._shown.get(index)
        if gone:
            self._shown.pop(index, None)
            if before is not None and before.name in self.links:
                return Notice(StaleFacts.LINKS | self._routes_of(before), Moved.LINK)
            return Notice(StaleFacts.LINKS | self._routes_of(before), self._silently_lost(before))
        now = self._shown[index] = _show(buffer, start, end, flags)
        ours = now.name in self.links or (before is not None and before.name in self.links)
        same = before is not None and (now.name, now.up, now.values) == (
            before.name,
            before.up,
            before.values,
        )
        if not ours:
            turned = before is not None and before.up != now.up
            lost = self._silently_lost(before) if turned else None
            return Notice(StaleFacts.NOTHING if same else StaleFacts.LINKS | self._routes_of(before), lost)
        only_carrier = same and before is not None and now.carrier != before.carrier
        return Notice(
            StaleFacts.NOTHING if same else StaleFacts.LINKS | self._routes_of(before),
            None if only_carrier else Moved.LINK,
        )

    def _address(self, buffer: bytes, start: int, end: int, kind: int) -> Notice:
        seen = seen_address(buffer, start, end)
        if seen is None:
            return _NOTHING
        shown = self._shown.get(seen.index)
        if shown is not None and shown.name in self.links:
            moved = None if seen.is_link_local else Moved.ADDRESS
        else:
            moved = self._silently_lost(shown) if kind == rtnl.DELADDR else None
        return Notice(StaleFacts.LINKS | self._routes_of(shown), moved)

    def _netconf(self, buffer: bytes, start: int, end: int) -> Notice:
        said = host.forwarding(buffer, start, end)
        if said is not None and said.index == host.ALL_LINKS:
            return Notice(StaleFacts.FORWARDING, Moved.SYSCTL)
        turned = (
            said is not None
            and said.family == Family.IPV4
            and said.index > 0
            and said.enabled == (said.index in self.not_forwarding)
        )
        shown = self._shown.get(host.switched_link(buffer, start, end) or 0)
        ours = shown is not None and shown.name in self.links
        return Notice(StaleFacts.FORWARDING if turned else StaleFacts.NOTHING, Moved.SYSCTL if ours else None)

    def _routes_of(self, shown: _Shown | None) -> StaleFacts:
        return StaleFacts.ROUTES if shown is not None and shown.name in self.routed else StaleFacts.NOTHING

    def _silently_lost(self, shown: _Shown | None) -> Moved | None:
        """Return ROUTE if our routes use the link: the kernel drops them silently as it goes down or loses its
        address."""
        return Moved.ROUTE if self._routes_of(shown) else None

    def _neighbour(self, buffer: bytes, start: int, end: int, kind: int, echoes: Echoes) -> Notice:
        family, index, state, _, _ = _NDMSG.unpack_from(buffer, start + HEADER_SIZE)
        shown = self._shown.get(index)
        if shown is None or shown.name not in self.links:
            return _NOTHING
        ignored = _UNSETTLED if kind == rtnl.NEWNEIGH else _NUD_NOARP
        if state & ignored and not state & rtnl.NUD_PERMANENT:
            return _NOTHING
        if is_named_port(shown.name) and family == rtnl.AF_BRIDGE and not state & rtnl.NUD_PERMANENT:
            return _NOTHING  # learned from a container's frame
        found = attributes(buffer, start + HEADER_SIZE + _NDMSG.size, end)
        address, mac = found.get(NDA["NDA_DST"], b""), found.get(NDA["NDA_LLADDR"], b"")
        if family != rtnl.AF_BRIDGE:
            echo = echoes.contain(kind, index, address, b"")
        else:
            echo = echoes.contain(kind, index, mac, address)
        return _NOTHING if echo else Notice(moved=Moved.NEIGHBOUR)

    def _route(self, buffer: bytes, start: int, end: int, *, replaced: bool) -> Notice:
        family, length, _, _, table, proto, _, _, _ = _RTMSG.unpack_from(buffer, start + HEADER_SIZE)
        found = attributes(buffer, start + HEADER_SIZE + _RTMSG.size, end)
        table = U32.unpack(found[RTA["RTA_TABLE"]])[0] if RTA["RTA_TABLE"] in found else table
        if table != MAIN_TABLE:
            return Notice(StaleFacts.RULES) if table in self.tables else _NOTHING
        oif = found.get(RTA["RTA_OIF"])
        shown = self._shown.get(U32.unpack(oif)[0]) if oif else None
        on_our_link = shown is not None and shown.name in self.links
        base = found.get(RTA["RTA_DST"]) or bytes(Family(family).bits // 8)
        if proto == rtnl.PROTO_KERNEL:
            return Notice(StaleFacts.NOTHING if host.is_link_scoped(base) else StaleFacts.ROUTES)
        of_ours = proto == ROUTE_PROTO or on_our_link
        return Notice(
            StaleFacts.ROUTES if replaced or not of_ours else StaleFacts.NOTHING,
            Moved.ROUTE if of_ours or replaced or self._in_range(base, length) else None,
        )

    def _in_range(self, base: bytes, length: int) -> bool:
        if not self.networks:
            return False
        destination = dumps.ip_network(base, length)
        return any(
            destination.version == network.version and destination.overlaps(network)
            for network in self.networks
            if length
        )


def _show(buffer: bytes, start: int, end: int, flags: int) -> _Shown:
    found = attributes(buffer, start + HEADER_SIZE + _IFINFOMSG.size, end)
    return _Shown(
        name=text(found.get(IFLA["IFLA_IFNAME"], b"")),
        up=bool(flags & rtnl.IFF_UP),
        values=tuple(found.get(IFLA[name]) for name in _SHOWN),
        carrier=(flags & _IFF_CARRIER, *(found.get(IFLA[name]) for name in _CARRIER)),
    )


def _echoes(message: bytearray) -> Iterable[tuple[int, int, bytes, bytes]]:
    _, kind, _, _, _ = HEADER.unpack_from(message)
    if kind not in (rtnl.NEWNEIGH, rtnl.DELNEIGH):
        return
    packed = bytes(message)
    family, index, *_ = _NDMSG.unpack_from(packed, HEADER_SIZE)
    found = attributes(packed, HEADER_SIZE + _NDMSG.size, len(packed))
    address, mac = found.get(NDA["NDA_DST"], b""), found.get(NDA["NDA_LLADDR"], b"")
    if family == rtnl.AF_BRIDGE:
        yield kind, index, mac, address
    else:
        yield kind, index, address, b""
