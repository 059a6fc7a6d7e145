"""Readers of nf_tables' answers as functions of octets: addresses, names and numbers, or an error of ours.

The answers come by a pair of sockets in the place of the netlink socket. Another program may have made a set of our
name with elements of another kind.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv6Address

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.netfilter.elements import Elements, _element
from flanpy.netfilter.members import _member
from flanpy.netfilter.nfnetlink import GENERIC, NFTABLES, NfTables
from flanpy.netlink.blocking import BlockingSocket
from flanpy.netlink.framing import HEADER, attribute
from flanpy.netlink.numbers import MSG_DONE, NESTED

_NEWTABLE, _NEWSETELEM, _NEWGEN, _NEWOBJ = (NFTABLES << 8 | number for number in (0, 12, 15, 18))
_ADDRESSES = {Family.IPV4: IPv4Address, Family.IPV6: IPv6Address}


def set_elements(octets: bytes) -> None:
    """Check that what is read from a set are addresses of its family. The first octet chooses that, and the framing."""
    mode = octets[0] if octets else 0
    family = Family.IPV6 if mode & 1 else Family.IPV4
    one = Elements("flanpy", "members")
    with _answered(one._netlink, _NEWSETELEM, octets[1:], framed=not mode & 2):  # as the kernel would
        try:
            found = one.read(family)
        except KernelError:
            return
    assert all(isinstance(_member(key).address, _ADDRESSES[family]) for key in found)


def tables_and_counters(octets: bytes) -> None:
    """Check names and numbers. The first octet chooses the question, and the framing."""
    mode = octets[0] if octets else 0
    one = NfTables()
    kind = (_NEWTABLE, _NEWOBJ, _NEWGEN, _NEWTABLE)[mode & 3]
    with _answered(one._netlink, kind, octets[1:], framed=not mode & 4):  # as the kernel would
        match kind:
            case _ if kind == _NEWGEN:
                assert one.generation() >= 0
            case _ if kind == _NEWOBJ:
                for family, table, name, packets in one.counters():
                    assert 0 <= family < 256
                    assert packets >= 0
                    (table + name).encode()
            case _:
                for family, name in one.tables():
                    assert 0 <= family < 256
                    name.encode()


@contextmanager
def _answered(netlink: BlockingSocket, kind: int, octets: bytes, *, framed: bool) -> Iterator[None]:
    """Have the octets stand as the answer to the first question, as its body if `framed`."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0.0)
    netlink._socket = ours
    body = octets[:60_000]
    try:
        theirs.send(_message(kind, body) if framed else body)
        theirs.send(_message(MSG_DONE, bytes(4)))
        yield
    finally:
        theirs.close()
        netlink.close()


def _message(kind: int, body: bytes) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, 0, 1, 0) + body


def _set(*keys: bytes) -> bytes:
    place = attribute(1, b"flanpy\0") + attribute(2, b"members\0")
    return GENERIC.pack(2, 0, 0) + place + attribute(3 | NESTED, b"".join(map(_element, keys)))


_TWO, _SIX = (b"\xc0\0\2\x0b", b"\xc0\0\2\x0c"), bytes.fromhex("20010db8") + bytes(11) + b"\1"
_TABLE = GENERIC.pack(2, 0, 0) + attribute(1, b"filter\0")
_COUNTED = (
    GENERIC.pack(2, 0, 0)
    + attribute(1, b"flanpy\0")
    + attribute(2, b"spoofed\0")
    + attribute(3, struct.pack(">I", 1))
    + attribute(4 | NESTED, attribute(1, struct.pack(">Q", 9)) + attribute(2, struct.pack(">Q", 7)))
)

NFT_TARGETS = {
    "set_elements": (
        set_elements,
        (b"\0" + _set(*_TWO), b"\1" + _set(_SIX), b"\2" + _message(_NEWSETELEM, _set(*_TWO)), b"\0" + _set()),
    ),
    "tables_and_counters": (
        tables_and_counters,
        (
            b"\0" + _TABLE,
            b"\1" + _COUNTED,
            b"\2" + GENERIC.pack(0, 0, 0) + attribute(1, b"\0\0\0\7"),
            b"\4" + _TABLE,
        ),
    ),
}
"""Each with what it is begun with."""

NFT_FOUND: dict[str, tuple[bytes, ...]] = {
    "set_elements": (
        b"\0" + _set(b"\2\0\0\0\0\1"),  # MACs
        b"\0" + _set(_SIX),
        b"\0" + _set(b""),
    ),
    "tables_and_counters": (b"\4" + HEADER.pack(20, 2, 0, 1, 0) + struct.pack("=i", -(1 << 31)),),
}
"""Each was read wrongly once."""
