"""ICMP echo packets (RFC 792, RFC 4443) as bytes: what is sent, and what came in. Pure.

An answer brings the whole payload back, so it says to which probe it belongs whenever it comes. The payload of a
request also tells the receiver two things about the sender, who may be unable to tell them over the overlay: whether it
hears the receiver's own probes there, and how often it sends. A request that carries the receiver's own mark tells it
how one of its datagrams came (`payload.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from flanpy.model.address import Family, IPAddress

MAGIC: Final = 0x464C5079
"""At the start of each payload: the kernel drops all other echoes before they cost anything."""

HEADERS: Final = {Family.IPV4: 28, Family.IPV6: 48}
"""Bytes of an IP header without options and of the echo's own header."""

_PAYLOAD: Final = struct.Struct("!IIIBBH")
_ECHO: Final = struct.Struct("!BBHHH")
_TYPES: Final = {Family.IPV4: (8, 0), Family.IPV6: (128, 129)}
_UNREACHABLE: Final = {Family.IPV4: 3, Family.IPV6: 1}
_PROHIBITED: Final = {Family.IPV4: frozenset({9, 10, 13}), Family.IPV6: frozenset({1, 5, 6})}
"""Codes by which a packet filter says so (RFC 1812 5.2.7.1, RFC 4443 3.1)."""

_HEARD: Final = 1
_WHOLE: Final = 2
_CORRUPTED: Final = 4
_MOST_TENTHS: Final = 0xFFFF


class PacketKind(Enum):
    """The kind of an incoming packet."""

    REQUEST = "request"
    ANSWER = "answer"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Probe:
    """The payload of a probe. `number` is the probe's; `boot` tells this process from others and from its former runs.
    `hears`: the sender hears the receiver's probes over the overlay. `interval`: seconds between two of its rounds.
    `whole`: how the receiver's own datagram of that `boot` and `number` came, None in a request that tells of none.
    """

    boot: int
    number: int
    hears: bool = False
    interval: float = 0.0
    whole: bool | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """One packet. `sender` is its source: of a refusal, the refusing host. `prohibited`: a packet filter refused."""

    kind: PacketKind
    sender: IPAddress
    probe: Probe
    prohibited: bool = False


def request(family: Family, probe: Probe, *, ident: int = 0, size: int = 0) -> bytes:
    """An echo request that makes an IP packet of `size` bytes, or of the least possible size.

    IPv6's checksum is the kernel's to make: it covers addresses that only routing settles.
    """
    tenths = min(round(probe.interval * 10), _MOST_TENTHS)
    payload = _PAYLOAD.pack(MAGIC, probe.boot, probe.number, _flags(probe), 0, tenths)
    payload = payload.ljust(size - HEADERS[family], b"\0")
    kind = _TYPES[family][0]
    check = 0
    if family is Family.IPV4:
        check = checksum(_ECHO.pack(kind, 0, 0, ident, probe.number & 0xFFFF) + payload)
    return _ECHO.pack(kind, 0, check, ident, probe.number & 0xFFFF) + payload


def _flags(probe: Probe) -> int:
    told = 0 if probe.whole is None else _WHOLE if probe.whole else _CORRUPTED
    return told | (_HEARD if probe.hears else 0)


def least_size(family: Family) -> int:
    """Bytes of the smallest packet."""
    return HEADERS[family] + _PAYLOAD.size


def checksum(octets: bytes) -> int:
    """RFC 1071."""
    if len(octets) % 2:
        octets += b"\0"
    total: int = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def read(family: Family, octets: bytes, sender: IPAddress, *, with_header: bool) -> Incoming | None:
    """Parse a packet of a socket, None if it is not ours. `with_header`: it begins with an IP header (raw IPv4)."""
    body = _after_header(family, octets) if with_header else octets
    if len(body) < _ECHO.size:
        return None
    kind, code = body[0], body[1]
    if kind == _UNREACHABLE[family]:
        return _refusal(family, body[_ECHO.size :], sender, prohibited=code in _PROHIBITED[family])
    probe = _payload(body[_ECHO.size :])
    if probe is None or kind not in _TYPES[family]:
        return None
    return Incoming(PacketKind.REQUEST if kind == _TYPES[family][0] else PacketKind.ANSWER, sender, probe)


def _refusal(family: Family, quoted: bytes, sender: IPAddress, *, prohibited: bool) -> Incoming | None:
    """Routers quote our packet: its IP header and at least 8 bytes, most of them more."""
    body = _after_header(family, quoted)
    if len(body) < _ECHO.size or body[0] != _TYPES[family][0]:
        return None
    probe = _payload(body[_ECHO.size :])
    return Incoming(PacketKind.REFUSAL, sender, probe, prohibited) if probe is not None else None


def _after_header(family: Family, octets: bytes) -> bytes:
    if not octets:
        return b""
    return octets[(octets[0] & 0x0F) * 4 :] if family is Family.IPV4 else octets[40:]


def _payload(octets: bytes) -> Probe | None:
    if len(octets) < _PAYLOAD.size:
        return None
    magic, boot, number, flags, _, tenths = _PAYLOAD.unpack_from(octets)
    if magic != MAGIC:
        return None
    whole = bool(flags & _WHOLE) if flags & (_WHOLE | _CORRUPTED) else None
    return Probe(boot, number, bool(flags & _HEARD), tenths / 10, whole)


def address_of(text: str) -> IPAddress:
    """A socket's address, without the scope that a link-local one has."""
    bare = text.partition("%")[0]
    return IPv6Address(bare) if ":" in bare else IPv4Address(bare)
