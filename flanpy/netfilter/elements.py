"""Packed addresses in a set of nftables, read and written over netlink.

linux/netfilter/nf_tables.h, nfnetlink.h; every message of a batch is answered, and takes effect only if all do. Must
not make sets, or know what they are for.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterable, Iterator, Sequence

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.netfilter.nfnetlink import GENERIC, NETLINK_NETFILTER, NFTABLES
from flanpy.netlink.blocking import BlockingSocket, Request
from flanpy.netlink.framing import ATTRIBUTE, attribute, each_attribute
from flanpy.netlink.numbers import ACK, CREATE, NESTED

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWSETELEM, _GETSETELEM, _DELSETELEM = (NFTABLES << 8 | number for number in (12, 13, 14))
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_RECEIVED = 1 << 18

_AT_ONCE = 1000
"""Addresses in one message: an attribute has at most 64 kB."""

_TOGETHER = 4
"""Messages in one transaction: it has to fit into the socket's buffer."""

_TURNS = 5
"""Readings of a set that others go on changing."""


class NotThere(KernelError):
    """There is no such table or set, or what is to go is not in it."""


class Elements:
    """One named set, which each family may have."""

    def __init__(self, table: str, name: str) -> None:
        self._place = attribute(_LIST_TABLE, _text(table)) + attribute(_LIST_SET, _text(name))
        self._netlink = BlockingSocket(NETLINK_NETFILTER, receive_bytes=_RECEIVED)

    @property
    def port(self) -> int:
        """By which others' news of our changes name us; 0 while there were none."""
        return self._netlink.port

    def close(self) -> None:
        self._netlink.close()

    def read(self, family: Family) -> list[bytes]:
        """List the addresses in it, packed. Raises NotThere, or KernelError if it cannot be read.

        Somebody else's set of this name may hold other things: they are left out.
        """
        for _ in range(_TURNS):
            try:
                answers, whole = self._netlink.dump_once(_GETSETELEM, _generic(int(family), 0) + self._place)
            except KernelError as error:
                raise _named(error) from error
            if whole:
                break
        size = family.bits // 8
        return [key for one in answers for key in _keys(one.body[GENERIC.size :], size) if len(key) == size]

    def change(self, family: Family, come: Iterable[bytes], gone: Iterable[bytes]) -> int:
        """Put addresses in, where they may be already, and take out others, which must be there.

        Returns the number of transactions: one, but for crowds. Raises NotThere, KernelError.
        """
        parts = [
            *((_NEWSETELEM, ACK | CREATE, part) for part in _parts(come)),
            *((_DELSETELEM, ACK, part) for part in _parts(gone)),
        ]
        count = 0
        for at in range(0, len(parts), _TOGETHER):
            self._transact(family, parts[at : at + _TOGETHER])
            count += 1
        return count

    def _transact(self, family: Family, parts: Sequence[tuple[int, int, Sequence[bytes]]]) -> None:
        head = _generic(int(family), 0) + self._place
        changes = [
            Request(kind, flags, head + attribute(_LIST_ELEMENTS | NESTED, b"".join(map(_element, keys))))
            for kind, flags, keys in parts
        ]
        begin, end = (Request(kind, 0, _generic(0, NFTABLES)) for kind in (_BATCH_BEGIN, _BATCH_END))
        try:
            self._netlink.batch([begin, *changes, end])
        except KernelError as error:
            raise _named(error) from error


def _named(error: KernelError) -> KernelError:
    return NotThere("no such set, or not in it", error.errno) if error.errno == errno.ENOENT else error


def _generic(family: int, resource: int) -> bytes:
    return struct.pack("=BB", family, 0) + struct.pack("!H", resource)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _element(key: bytes) -> bytes:
    """NFTA_LIST_ELEM of NFTA_SET_ELEM_KEY of NFTA_DATA_VALUE: all are number 1."""
    return attribute(1 | NESTED, attribute(1 | NESTED, attribute(1, key)))


def _inside(data: bytes, kind: int) -> Sequence[bytes]:
    return [value for found, value in each_attribute(data) if found == kind]


def _keys(body: bytes, size: int) -> Iterable[bytes]:
    """The keys of one message. Elements without anything but a key all begin alike, and are cut, not parsed."""
    row = struct.Struct(f"{ATTRIBUTE.size * 3}s{size}s")
    for elements in _inside(body, _LIST_ELEMENTS):
        if elements and len(elements) % row.size == 0:
            heads, keys = zip(*row.iter_unpack(elements), strict=True)
            if len(set(heads)) == 1 and heads[0].endswith(ATTRIBUTE.pack(ATTRIBUTE.size + size, 1)):
                return keys
    return list(_parsed(body))


def _parsed(body: bytes) -> Iterator[bytes]:
    for elements in _inside(body, _LIST_ELEMENTS):
        for element in _inside(elements, 1):
            for key in _inside(element, 1):
                yield from _inside(key, 1)


def _parts(keys: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    every = list(keys)
    return (every[at : at + _AT_ONCE] for at in range(0, len(every), _AT_ONCE))
