"""The table as bytes, in a sealed memfd: what the daemon hands to the forwarder's processes.

A head (local address, port, MTU, own subnet, number of rows), then a row of 10 bytes for each peer.
"""

from __future__ import annotations

import fcntl
import os
import struct
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.tunnel import TunnelRow, TunnelTable

_HEAD = struct.Struct(">IHIIBI")
_ROW = struct.Struct(">IBIB")
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def encode(table: TunnelTable) -> bytes:
    head = _HEAD.pack(
        int(table.local), table.port, table.mtu,
        int(table.own.network_address), table.own.prefixlen, len(table.rows),
    )  # fmt: skip
    rows = (
        _ROW.pack(int(row.subnet.network_address), row.subnet.prefixlen, int(row.peer), row.fast)
        for row in table.rows
    )
    return head + b"".join(rows)


def decode(text: bytes) -> TunnelTable:
    """Raises ValueError if `text` is not what `encode` makes."""
    if len(text) < _HEAD.size:
        raise ValueError(f"a table of {len(text)} bytes has no head")
    local, port, mtu, own, length, count = _HEAD.unpack_from(text)
    if len(text) != _HEAD.size + count * _ROW.size:
        raise ValueError(f"a table of {count} rows is {len(text)} bytes long")
    rows = tuple(
        TunnelRow(IPv4Network((base, bits)), IPv4Address(peer), bool(fast))
        for base, bits, peer, fast in _ROW.iter_unpack(memoryview(text)[_HEAD.size :])
    )
    return TunnelTable(IPv4Address(local), port, mtu, IPv4Network((own, length)), rows)


def to_memfd(table: TunnelTable) -> int:
    """Return a descriptor to pass on and close; its content is immutable."""
    descriptor = os.memfd_create("flanpy-tunnel-table", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "wb") as out:
        out.write(encode(table))
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    return descriptor


def from_memfd(descriptor: int) -> TunnelTable:
    """Closes the descriptor. Raises ValueError."""
    with os.fdopen(descriptor, "rb") as text:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ValueError("the table is not sealed")
        text.seek(0)
        return decode(text.read())
