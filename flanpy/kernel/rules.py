"""The reader of routing rules, and of the tables that they ask before the main one.

Must not: judge where packets go (plan.policy_routing), or watch.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from flanpy.kernel import dumps, entries
from flanpy.kernel.request import RequestSocket
from flanpy.kernel.underlay import HostLink
from flanpy.model.address import Family, IPNetwork
from flanpy.model.objects import MAIN_TABLE
from flanpy.model.rules import HostRule, TableRoute
from flanpy.netlink import numbers, rtnl
from flanpy.netlink.framing import HEADER_SIZE, U32, attributes, frame, text

_HEADER: Final = struct.Struct("=BBBBBBBBI")  # family, dst_len, src_len, tos, table, -, -, action, flags
_DST, _SRC, _IIF, _PRIORITY, _MARK, _SUPPRESS, _TABLE, _MASK = 1, 2, 3, 6, 10, 14, 15, 16  # linux/fib_rules.h
_OTHERS: Final = frozenset({12, 13, 17, 19, 20, 22, 23, 24})
"""Tunnel id, link group, oif, VRF, uids, protocol, ports: such a rule takes some packets only, and is left out."""
_LOOKUP: Final = 1
_DROPS: Final = frozenset({6, 7, 8})  # FR_ACT_BLACKHOLE, UNREACHABLE, PROHIBIT
_INVERT: Final = 0x2
_LOCAL_TABLE: Final = 255
_NO_LENGTH: Final = 0xFFFFFFFF
_KINDS: Final = {number: name for name, number in rtnl.ROUTE_TYPES.items()}
_CLONED: Final = 0x200


async def read_rules(
    requests: RequestSocket, links: Iterable[HostLink], networks: Sequence[IPNetwork]
) -> tuple[HostRule, ...]:
    """Return the rules before the one that asks main for everything, each with the routes of its table.

    Of those routes only the ones count that touch `networks`, and default routes.
    """
    names = {link.index: link.name for link in links}
    found: list[HostRule] = []
    for family in Family:
        rules = await requests.dump(_rule_dump(family), _rule)
        for rule in _before_main(sorted(rules, key=lambda one: one.priority)):
            asks = rule.table != MAIN_TABLE and not rule.drops
            routes = await _table(requests, family, rule.table, _Wanted(names, networks)) if asks else ()
            found.append(replace(rule, routes=routes))
    return tuple(found)


def _rule_dump(family: Family) -> bytearray:
    body = _HEADER.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
    return frame(rtnl.GETRULE, numbers.REQUEST | numbers.DUMP, body)


def _rule(buffer: bytes, start: int, end: int) -> HostRule | None:
    """Return a rule that unmarked packets of any kind meet; None for the others, and for the table `local`."""
    family, to_length, from_length, tos, table, _, _, action, flags = _HEADER.unpack_from(
        buffer, start + HEADER_SIZE
    )
    found = attributes(buffer, start + HEADER_SIZE + _HEADER.size, end)
    table = _number(found, _TABLE, table)
    if family not in tuple(Family) or table == _LOCAL_TABLE or tos or not found.keys().isdisjoint(_OTHERS):
        return None
    if action != _LOOKUP and action not in _DROPS:
        return None
    marked = bool(_number(found, _MARK, 0))
    selected = bool(from_length or to_length or _IIF in found)
    if marked != bool(flags & _INVERT) or (marked and selected):
        return None  # `not fwmark X`, as wg-quick writes it, takes what is not marked
    suppress = _number(found, _SUPPRESS, _NO_LENGTH)
    return HostRule(
        version=4 if family == Family.IPV4 else 6,
        priority=_number(found, _PRIORITY, 0),
        table=table,
        source=_network(found.get(_SRC), from_length),
        to=_network(found.get(_DST), to_length),
        link=text(found.get(_IIF, b"")),
        drops=action in _DROPS,
        suppress=-1 if suppress == _NO_LENGTH else suppress,
    )


def _before_main(rules: Iterable[HostRule]) -> Iterable[HostRule]:
    for rule in rules:
        limited = rule.source is not None or rule.to is not None or rule.link
        if rule.table == MAIN_TABLE and not limited and not rule.drops and rule.suppress < 1:
            return  # default routes may be suppressed there: ours are longer
        yield rule


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The links by index, and the ranges of the overlay."""

    names: Mapping[int, str]
    networks: Sequence[IPNetwork]

    def touches(self, destination: IPNetwork) -> bool:
        return not destination.prefixlen or any(
            destination.version == one.version and destination.overlaps(one) for one in self.networks
        )


async def _table(
    requests: RequestSocket, family: Family, table: int, wanted: _Wanted
) -> tuple[TableRoute, ...]:
    def parse(buffer: bytes, start: int, end: int) -> TableRoute | None:
        _, length, *_, kind, flags = _HEADER.unpack_from(buffer, start + HEADER_SIZE)
        if flags & _CLONED:
            return None
        found = attributes(buffer, start + HEADER_SIZE + _HEADER.size, end)
        base = found.get(rtnl.RTA["RTA_DST"]) or bytes(family.bits // 8)
        destination = dumps.ip_network(base, length)
        if not wanted.touches(destination):
            return None
        gateway = found.get(rtnl.RTA["RTA_GATEWAY"])
        return TableRoute(
            destination,
            wanted.names.get(_number(found, rtnl.RTA["RTA_OIF"], 0), ""),
            _KINDS.get(kind, "unicast"),
            str(dumps.ip_address(gateway)) if gateway else "",
        )

    return tuple(await requests.dump(entries.route_dump(family, table), parse))


def _network(base: bytes | None, length: int) -> IPNetwork | None:
    return dumps.ip_network(base, length) if base and length else None


def _number(found: Mapping[int, bytes], name: int, otherwise: int) -> int:
    return int(U32.unpack(found[name])[0]) if name in found else otherwise
