"""nf_tables over netlink, as far as it is cheaper than asking a tool: what tables there are, whether anything changed
since the last look, and news of changes.

One request costs 20 us where running `nft` costs 5 ms. iptables-nft's rules are nf_tables rules, so all this serves
both. linux/netfilter/nf_tables.h, nfnetlink.h. Must not write.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

_NETLINK_NETFILTER = 12
_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_NFNLGRP_NFTABLES = 7
_REQUEST, _DUMP = 0x1, 0x300
_NFTABLES = 10 << 8
_GETTABLE, _NEWTABLE, _GETGEN, _NEWGEN = 1, 0, 16, 15
_GETOBJ, _NEWOBJ = 19, 18
_TABLE_NAME, _GEN_ID = 1, 1
_OBJ_TYPE, _OBJ_VALUES, _COUNTER_PACKETS = 3, 4, 2
_COUNTER = (1).to_bytes(4, "big")
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
_GENMSG = struct.Struct("=BBH")
_ATTRIBUTE = struct.Struct("=HH")
_TIMEOUT_S = 2.0

Tables = frozenset[tuple[int, str]]
"""Tables by family number (2 and 10 are IPv4 and IPv6) and name."""


class NfTables:
    """A socket for questions, opened when first needed. A kernel without nf_tables has no tables."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def generation(self) -> int:
        """A number that grows with each change of any rule in this network namespace; 0 if it cannot be had."""
        for kind, body in self._ask(_GETGEN, 0):
            if kind == _NEWGEN:
                for attribute, value in attributes(body[_GENMSG.size :]):
                    if attribute == _GEN_ID:
                        return int.from_bytes(value, "big")
        return 0

    def tables(self) -> Tables:
        """Every table there is."""
        found = set()
        for kind, body in self._ask(_GETTABLE, _DUMP):
            if kind == _NEWTABLE:
                for attribute, value in attributes(body[_GENMSG.size :]):
                    if attribute == _TABLE_NAME:
                        found.add((body[0], _text(value)))
        return frozenset(found)

    def counters(self) -> list[tuple[int, str, str, int]]:
        """Family number, table, name and packets of every counter that has a name."""
        found = []
        for kind, body in self._ask(_GETOBJ, _DUMP):
            said = dict(attributes(body[_GENMSG.size :]))
            if kind == _NEWOBJ and said.get(_OBJ_TYPE) == _COUNTER:
                inside = dict(attributes(said.get(_OBJ_VALUES, b"")))
                packets = int.from_bytes(inside.get(_COUNTER_PACKETS, b""), "big")
                found.append((body[0], _text(said.get(1, b"")), _text(said.get(2, b"")), packets))
        return found

    def _ask(self, kind: int, flags: int) -> list[tuple[int, bytes]]:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
                self._socket.settimeout(_TIMEOUT_S)
            request = _HEADER.pack(_HEADER.size + 4, _NFTABLES | kind, _REQUEST | flags, 1, 0)
            self._socket.send(request + _GENMSG.pack(0, 0, 0))
            return list(self._answers(self._socket, more=bool(flags)))
        except OSError:
            self.close()
            return []

    @staticmethod
    def _answers(sock: socket.socket, *, more: bool) -> Iterator[tuple[int, bytes]]:
        while True:
            data = sock.recv(1 << 16)
            while data:
                length, kind, _, _, _ = _HEADER.unpack_from(data)
                if kind in {_ERROR, _DONE}:
                    return
                yield kind & 0xFF, data[_HEADER.size : length]
                data = data[(length + 3) & ~3 :]
            if not more:
                return


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and value of each attribute, as far as they are whole; what is nested in a value is walked the same way."""
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if length < _ATTRIBUTE.size:
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : length]
        data = data[(length + 3) & ~3 :]


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "replace")


def open_events() -> socket.socket | None:
    """A non-blocking socket that becomes readable when any rule changes; None in a kernel without nf_tables."""
    with suppress(OSError):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETLINK_NETFILTER)
        try:
            sock.bind((0, 0))
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        except OSError:
            sock.close()
            raise
        return sock
    return None


def drain(sock: socket.socket, *, own: int = 0) -> bool:
    """Read all that is there; whether any of it was done by another socket than the one whose port is `own`.

    What it says does not matter: that there was something does, even if more was lost.
    """
    news = False
    for _ in range(1000):
        try:
            data = sock.recv(1 << 16)
        except BlockingIOError:
            return news
        except OSError:  # ENOBUFS: news was lost, which is news enough
            news = True
            continue
        if not data:
            return news
        news = news or any(port != own for port in _ports(data))
    return news


def _ports(data: bytes) -> Iterator[int]:
    """Who asked for what each message tells of."""
    while len(data) >= _HEADER.size:
        length, _, _, _, port = _HEADER.unpack_from(data)
        yield port
        data = data[(max(length, _HEADER.size) + 3) & ~3 :]
