"""The match of a packet with a rule, as far as it can be decided. Pure.

A test that cannot be decided for the packet (`-p tcp` where only addresses are known, a set, a limit) is SOME: the rule
takes some packets of that kind and not others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from ipaddress import ip_network
from typing import Final

from flanpy.model.address import IPAddress
from flanpy.trace.filter import IPIP, Field, Packet, Test


class Truth(Enum):
    """The answer to whether a packet matches. A negation reverses YES and NO, and leaves SOME."""

    NO = 0
    SOME = 1
    YES = 2


def matches(tests: Sequence[Test], packet: Packet) -> Truth:
    """The weakest of all tests."""
    return min((_one(test, packet) for test in tests), key=lambda truth: truth.value, default=Truth.YES)


def _one(test: Test, packet: Packet) -> Truth:
    truth = _plain(test, packet)
    if not test.negated or truth is Truth.SOME:
        return truth
    return Truth.NO if truth is Truth.YES else Truth.YES


def _plain(test: Test, packet: Packet) -> Truth:
    look = _LOOKS.get(test.field)
    return look(packet, test.values) if look is not None else Truth.SOME


def _of(holds: bool) -> Truth:
    return Truth.YES if holds else Truth.NO


def _in_networks(address: IPAddress, values: Iterable[str]) -> Truth:
    try:
        return _of(any(address in ip_network(value, strict=False) for value in values))
    except ValueError:  # a set, a range, a name
        return Truth.SOME


def _named(link: str, patterns: Iterable[str]) -> Truth:
    """`eth+` (iptables) and `eth*` (nft) match any link that begins so."""
    return _of(any(_fits(link, pattern) for pattern in patterns))


def _fits(link: str, pattern: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith(("+", "*")) else link == pattern


def _said(value: str, values: Iterable[str]) -> Truth:
    """Not known is SOME, and so is a range."""
    known = tuple(values)
    return _of(value in known) if value and all(one.isalnum() for one in known) else Truth.SOME


def _protocol(value: str) -> str:
    return IPIP if value in {"4", "ipip"} else value


def _has_mark(mark: int, wanted: str) -> bool:
    value, mask = map(int, wanted.split("/"))
    return mark & mask == value


def _typed(address: IPAddress, types: Iterable[str], local: frozenset[IPAddress]) -> Truth:
    """Types that are neither local nor unicast are never those of an overlay packet."""
    kind = "local" if address in local else "unicast"
    return _of(kind in types)


_LOOKS: Final[Mapping[Field, Callable[[Packet, tuple[str, ...]], Truth]]] = {
    Field.SOURCE: lambda packet, values: _in_networks(packet.source, values),
    Field.DESTINATION: lambda packet, values: _in_networks(packet.destination, values),
    Field.IN_LINK: lambda packet, values: _named(packet.in_link, values),
    Field.OUT_LINK: lambda packet, values: _named(packet.out_link, values),
    Field.PROTOCOL: lambda packet, values: _said(packet.protocol, map(_protocol, values)),
    Field.PORT: lambda packet, values: _said(str(packet.port or ""), values),
    Field.MARK: lambda packet, values: _of(any(_has_mark(packet.mark, value) for value in values)),
    Field.STATE: lambda _packet, values: _of("new" in values),
    Field.SOURCE_TYPE: lambda packet, values: _typed(packet.source, values, packet.local),
    Field.DESTINATION_TYPE: lambda packet, values: _typed(packet.destination, values, packet.local),
}
