"""Packed addresses in a set of nftables, read and written over netlink.

linux/netfilter/nf_tables.h, nfnetlink.h; every message of a batch is answered, and takes effect only if all do. Must
not make sets, or know what they are for.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.netfilter.nfnetlink import attributes

_NETLINK_NETFILTER = 12
_REQUEST, _ACK, _DUMP, _INTERRUPTED = 0x1, 0x4, 0x300, 0x10
_CREATE = 0x400
_NFTABLES = 10
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWSETELEM, _GETSETELEM, _DELSETELEM = (_NFTABLES << 8 | number for number in (12, 13, 14))
_ERROR, _DONE = 2, 3
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS = 1, 2, 3
_NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVED = 1 << 18
_TIMEOUT_S = 5.0

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
        self._place = _attribute(_LIST_TABLE, _text(table)) + _attribute(_LIST_SET, _text(name))
        self._socket: socket.socket | None = None
        self._number = 0

    @property
    def port(self) -> int:
        """By which others' news of our changes name us; 0 while there were none."""
        return int(self._socket.getsockname()[0]) if self._socket is not None else 0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def read(self, family: Family) -> list[bytes]:
        """All that is in it, packed. Raises NotThere, or KernelError if it cannot be read."""
        for _ in range(_TURNS):
            found, whole = self._dump(family)
            if whole:
                break
        return found

    def change(self, family: Family, come: Iterable[bytes], gone: Iterable[bytes]) -> int:
        """Put addresses in, where they may be already, and take out others, which must be there.

        How many transactions it took: one, but for crowds. Raises NotThere, KernelError.
        """
        parts = [
            *((_NEWSETELEM, _REQUEST | _ACK | _CREATE, part) for part in _parts(come)),
            *((_DELSETELEM, _REQUEST | _ACK, part) for part in _parts(gone)),
        ]
        count = 0
        for at in range(0, len(parts), _TOGETHER):
            self._transact(family, parts[at : at + _TOGETHER])
            count += 1
        return count

    def _transact(self, family: Family, parts: Sequence[tuple[int, int, Sequence[bytes]]]) -> None:
        data = self._message(_BATCH_BEGIN, _REQUEST, _generic(0, _NFTABLES))
        refusals = self._number
        waiting = set()
        for kind, flags, keys in parts:
            elements = _attribute(_LIST_ELEMENTS | _NESTED, b"".join(map(_element, keys)))
            data += self._message(kind, flags, _generic(int(family), 0) + self._place + elements)
            waiting.add(self._number)
        self._send(data + self._message(_BATCH_END, _REQUEST, _generic(0, _NFTABLES)))
        while waiting:
            for kind, _, number, body in self._receive():
                if kind == _ERROR and number >= refusals:
                    _judge(body)
                    waiting.discard(number)

    def _dump(self, family: Family) -> tuple[list[bytes], bool]:
        """What was found, and whether nobody changed it meanwhile."""
        self._send(self._message(_GETSETELEM, _REQUEST | _DUMP, _generic(int(family), 0) + self._place))
        found: list[bytes] = []
        whole = True
        while True:
            for kind, flags, number, body in self._receive():
                if number != self._number:
                    continue  # of a question that nobody waits for any more
                whole = whole and not flags & _INTERRUPTED
                if kind == _ERROR:
                    _judge(body)
                if kind in {_ERROR, _DONE}:
                    return found, whole
                found += _keys(body[4:])

    def _message(self, kind: int, flags: int, body: bytes) -> bytes:
        self._number += 1
        return _HEADER.pack(_HEADER.size + len(body), kind, flags, self._number, 0) + body

    def _send(self, data: bytes) -> None:
        try:
            if self._socket is None:
                self._socket = _open()
            self._socket.send(data)
        except OSError as error:
            self.close()
            raise KernelError("cannot ask nf_tables", error.errno or 0) from error

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Kind, flags, number and body of each message of one datagram."""
        assert self._socket is not None
        try:
            data = self._socket.recv(_RECEIVED)
        except OSError as error:
            self.close()
            raise KernelError("nf_tables did not answer", error.errno or 0) from error
        while len(data) >= _HEADER.size:
            length, kind, flags, number, _ = _HEADER.unpack_from(data)
            yield kind, flags, number, data[_HEADER.size : length]
            data = data[(max(length, _HEADER.size) + 3) & ~3 :]


def _open() -> socket.socket:
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    try:
        sock.bind((0, 0))
        sock.settimeout(_TIMEOUT_S)
    except OSError:
        sock.close()
        raise
    return sock


def _judge(body: bytes) -> None:
    code = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
    if code == errno.ENOENT:
        raise NotThere("no such set, or not in it", code)
    if code:
        raise KernelError("nf_tables refused a change of a set", code)


def _generic(family: int, resource: int) -> bytes:
    return struct.pack("=BB", family, 0) + struct.pack("!H", resource)


def _text(text: str) -> bytes:
    return text.encode() + b"\0"


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _element(key: bytes) -> bytes:
    """NFTA_LIST_ELEM of NFTA_SET_ELEM_KEY of NFTA_DATA_VALUE: all are number 1."""
    return _attribute(1 | _NESTED, _attribute(1 | _NESTED, _attribute(1, key)))


def _inside(data: bytes, kind: int) -> Sequence[bytes]:
    return [value for found, value in attributes(data) if found == kind]


def _keys(body: bytes) -> Iterable[bytes]:
    """The keys of one message. Elements without anything but a key all begin alike, and are cut, not parsed."""
    for elements in _inside(body, _LIST_ELEMENTS):
        for size in (4, 16):
            row = struct.Struct(f"{_ATTRIBUTE.size * 3}s{size}s")
            if elements and len(elements) % row.size == 0:
                heads, keys = zip(*row.iter_unpack(elements), strict=True)
                if len(set(heads)) == 1 and heads[0].endswith(_ATTRIBUTE.pack(_ATTRIBUTE.size + size, 1)):
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
