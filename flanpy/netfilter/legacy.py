"""x_tables of the kernel (iptables-legacy), as far as it is cheaper than asking a tool: which tables are in use, and
whether one changed in size.

There are no events for it, so it is polled; one request costs 2 us. linux/netfilter_ipv4/ip_tables.h. A request about
a table creates it, so only tables in use are polled. Must not write.
"""

from __future__ import annotations

import ctypes
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from flanpy.model.address import Family

_GET_INFO = 64
_INFO_SIZE = 84
_NAME_SIZE = 32
TABLES = ("raw", "mangle", "nat", "filter")
"""Those that our rules, or Docker's, can be in."""

_NAMES = {
    Family.IPV4: Path("/proc/thread-self/net/ip_tables_names"),
    Family.IPV6: Path("/proc/thread-self/net/ip6_tables_names"),
}
_LEVEL = {Family.IPV4: socket.SOL_IP, Family.IPV6: socket.IPPROTO_IPV6}
_SOCKET_FAMILY = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
_libc = ctypes.CDLL(None, use_errno=True)


def tables_in_use(family: Family) -> tuple[str, ...] | None:
    """Return the tables in use; None without permission: the file is root's."""
    try:
        names = _NAMES[family].read_text().split()
    except PermissionError:
        return None
    except OSError:
        return ()
    return tuple(name for name in TABLES if name in names)


def sizes(family: Family, tables: Iterable[str]) -> bytes:
    """Return the number and length of each table's rules, as bytes to compare."""
    found = b""
    with suppress(OSError), socket.socket(_SOCKET_FAMILY[family], socket.SOCK_DGRAM) as sock:
        for table in tables:
            buffer = ctypes.create_string_buffer(table.encode().ljust(_NAME_SIZE, b"\0"), _INFO_SIZE)
            length = ctypes.c_uint32(_INFO_SIZE)
            done = _libc.getsockopt(sock.fileno(), _LEVEL[family], _GET_INFO, buffer, ctypes.byref(length))
            found += buffer.raw if done == 0 else b"absent"
    return found
