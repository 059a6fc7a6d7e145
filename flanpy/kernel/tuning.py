"""The readers of the host's tuning: reverse-path filters and their drops, neighbour tables, br_netfilter.

Must not: change or judge anything. A look is four small files, one more for each link, and one dump.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from flanpy.kernel.request import RequestSocket
from flanpy.kernel.sysctl import Sysctls
from flanpy.model.address import Family
from flanpy.model.tuning import NeighbourTable, ReversePath
from flanpy.netlink import numbers
from flanpy.netlink.framing import HEADER_SIZE, U32, attributes, frame

NETSTAT = Path("/proc/thread-self/net/netstat")
"""Counters of the network namespace of the thread that reads them."""

_GETNEIGHTBL = 66  # linux/rtnetlink.h
_NDTMSG_SIZE = 4
_NDTA_THRESH3, _NDTA_STATS = 4, 7  # linux/neighbour.h
_TABLE_FULLS = struct.Struct("=Q")
_TABLE_FULLS_AT = 10 * _TABLE_FULLS.size  # the eleventh of struct ndt_stats
_STRICT = 1


def read_reverse_path(sysctls: Sysctls, links: Iterable[str], netstat: Path = NETSTAT) -> ReversePath:
    """Return those of these links that are strict, and the drops since the namespace was made."""
    conf = "net/ipv4/conf/{}/rp_filter"
    of_all = _number(sysctls.read(conf.format("all")))
    strict = [link for link in links if max(of_all, _number(sysctls.read(conf.format(link)))) == _STRICT]
    return ReversePath(tuple(strict), counter(netstat, "IPReversePathFilter"))


def read_bridge_filter(sysctls: Sysctls) -> bool | None:
    """Report whether packets within a bridge pass the packet filter; None without br_netfilter."""
    said = sysctls.read("net/bridge/bridge-nf-call-iptables")
    return None if said is None else said != "0"


async def read_neighbour_tables(requests: RequestSocket) -> list[NeighbourTable]:
    """Return both families' tables. Netlink reports them in every namespace, the sysctls only in the machine's own."""
    request = frame(_GETNEIGHTBL, numbers.REQUEST | numbers.DUMP, bytes(_NDTMSG_SIZE))
    return await requests.dump(request, _table)


def counter(netstat: Path, name: str) -> int:
    """Return a counter of /proc/net/netstat, whose lines come in pairs: names, then values. 0 if there is none."""
    try:
        lines = netstat.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if name in names:
            return int(dict(zip(names.split(), values.split(), strict=False)).get(name, 0))
    return 0


def _table(buffer: bytes, start: int, end: int) -> NeighbourTable | None:
    """Return a table; None for any but a whole table of IP (parameters of one link, other families)."""
    family = buffer[start + HEADER_SIZE]
    found = attributes(buffer, start + HEADER_SIZE + _NDTMSG_SIZE, end)
    if family not in tuple(Family) or _NDTA_THRESH3 not in found:
        return None
    stats = found.get(_NDTA_STATS, b"")
    has_fulls = len(stats) >= _TABLE_FULLS_AT + _TABLE_FULLS.size  # since kernel 4.3
    fulls = _TABLE_FULLS.unpack_from(stats, _TABLE_FULLS_AT)[0] if has_fulls else 0
    return NeighbourTable(Family(family), limit=U32.unpack(found[_NDTA_THRESH3])[0], refused=fulls)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() else 0
