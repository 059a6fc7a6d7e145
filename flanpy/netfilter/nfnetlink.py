"""nf_tables over netlink, as far as it is cheaper than running a tool: the list of tables, the detection of changes
since the last look, and news of changes.

One request costs 20 us where running `nft` costs 5 ms. iptables-nft's rules are nf_tables rules, so all this serves
both. linux/netfilter/nf_tables.h, nfnetlink.h. Must not write.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from flanpy.errors import KernelError
from flanpy.netlink import numbers
from flanpy.netlink.blocking import Answer, BlockingSocket, Request
from flanpy.netlink.framing import attributes, messages, text

NETLINK_NETFILTER: Final = 12
NFTABLES: Final = 10
"""The subsystem in the upper half of a message's type, and the resource of a batch."""
GENERIC: Final = struct.Struct("=BBH")
"""Family, version, and resource in network byte order (linux/netfilter/nfnetlink.h)."""

_NFNLGRP_NFTABLES = 7
_GETTABLE, _GETGEN, _GETOBJ = (NFTABLES << 8 | number for number in (1, 16, 19))
_TABLE_NAME, _GEN_ID = 1, 1
_OBJ_TABLE, _OBJ_NAME, _OBJ_TYPE, _OBJ_VALUES, _COUNTER_PACKETS = 1, 2, 3, 4, 2
_COUNTER = (1).to_bytes(4, "big")
_TIMEOUT_S = 2.0

Tables = frozenset[tuple[int, str]]
"""Tables by family number (2 and 10 are IPv4 and IPv6) and name."""


class NfTables:
    """A socket for requests, opened when first needed. A kernel without nf_tables has no tables."""

    def __init__(self) -> None:
        self._netlink = BlockingSocket(NETLINK_NETFILTER, deadline_s=_TIMEOUT_S)

    def close(self) -> None:
        self._netlink.close()

    def generation(self) -> int:
        """Return a number that grows with each change of any rule in this network namespace; 0 if it is unknown."""
        answer = None
        with suppress(KernelError):
            answer = self._netlink.ask(Request(_GETGEN, 0, GENERIC.pack(0, 0, 0)))
        return int.from_bytes(_attributes(answer).get(_GEN_ID, b""), "big") if answer is not None else 0

    def tables(self) -> Tables:
        """List every table."""
        named = ((one.body[0], _attributes(one)) for one in self._list(_GETTABLE))
        return frozenset(
            (family, text(found[_TABLE_NAME])) for family, found in named if _TABLE_NAME in found
        )

    def counters(self) -> list[tuple[int, str, str, int]]:
        """List family number, table, name and packets of every counter that has a name."""
        counted = []
        for answer in self._list(_GETOBJ):
            found = _attributes(answer)
            if found.get(_OBJ_TYPE) == _COUNTER:
                values = found.get(_OBJ_VALUES, b"")
                packets = int.from_bytes(attributes(values, 0, len(values)).get(_COUNTER_PACKETS, b""), "big")
                table, name = text(found.get(_OBJ_TABLE, b"")), text(found.get(_OBJ_NAME, b""))
                counted.append((answer.body[0], table, name, packets))
        return counted

    def _list(self, kind: int) -> list[Answer]:
        with suppress(KernelError):
            answers, _ = self._netlink.dump_once(kind, GENERIC.pack(0, 0, 0))
            return [one for one in answers if len(one.body) >= GENERIC.size]
        return []


def _attributes(answer: Answer) -> dict[int, bytes]:
    return attributes(answer.body, GENERIC.size, len(answer.body))


def open_events() -> socket.socket | None:
    """Open a non-blocking socket that becomes readable when any rule changes; None in a kernel without nf_tables."""
    with suppress(OSError):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_NETFILTER)
        try:
            sock.bind((0, 0))
            sock.setsockopt(numbers.SOL_NETLINK, numbers.ADD_MEMBERSHIP, _NFNLGRP_NFTABLES)
        except OSError:
            sock.close()
            raise
        return sock
    return None


def drain(sock: socket.socket, *, own: int = 0) -> bool:
    """Read all queued messages; report whether any comes from another socket than that with port id `own`.

    The content does not matter, only its presence, even if more was lost.
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


def _ports(datagram: bytes) -> Iterator[int]:
    """Yield the port id of the sender behind each message."""
    return (port for *_, port in messages(datagram))
