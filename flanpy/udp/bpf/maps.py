"""The maps that the programs read and count in: the table of peers by longest prefix, and counters for each CPU.

Owns their content: no other program writes the table, so a new one costs only the changes. Must not: attach anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from flanpy.errors import KernelError
from flanpy.model.tunnel import Count, TunnelRow
from flanpy.udp.bpf import syscall
from flanpy.udp.bpf.layout import CARRIED, FAST, FAST_TO_US, KEY, PEER, SLOW, Counter

CAPACITY = 1 << 16
"""Rows: all /24 subnets of a /8 network. Memory is taken only for rows that are there."""


class PeerMap:
    """Close it, or its descriptor stays open; the kernel keeps the map while a program uses it."""

    def __init__(self) -> None:
        self.descriptor = syscall.create_map(
            syscall.MAP_LPM_TRIE, "flanpy_peers", key=KEY.size, value=PEER.size,
            entries=CAPACITY, flags=syscall.NO_PREALLOC,
        )  # fmt: skip
        self._entries: dict[bytes, bytes] = {}

    def replace(self, rows: Iterable[TunnelRow], *, quiet: bool = False) -> None:
        """Make the table these rows. A row that stays is there at every moment: stale ones go last.

        Raises KernelError; then the table is a mixture of both, and the same call can be tried again.
        """
        fast = FAST_TO_US if quiet else FAST
        wanted = {_key(row): PEER.pack(row.peer.packed, fast if row.fast else SLOW) for row in rows}
        if len(wanted) > CAPACITY:
            raise KernelError(
                f"the in-kernel data plane holds {CAPACITY} peers, and {len(wanted)} were given"
            )
        known = self._entries
        self._entries = {**known, **wanted}
        try:
            syscall.update(self.descriptor, [(k, v) for k, v in wanted.items() if known.get(k) != v])
            syscall.delete(self.descriptor, [key for key in known if key not in wanted])
        except KernelError:
            self._entries = dict.fromkeys(self._entries, b"")  # unknown: the next call puts every row
            raise
        self._entries = wanted

    def close(self) -> None:
        os.close(self.descriptor)


def _key(row: TunnelRow) -> bytes:
    return KEY.pack(row.subnet.prefixlen, row.subnet.network_address.packed)


class CounterMap:
    """Close it, or its descriptor stays open."""

    def __init__(self) -> None:
        self._cpus = syscall.possible_cpus()
        self.descriptor = syscall.create_map(
            syscall.MAP_PERCPU_ARRAY, "flanpy_counts", key=4, value=CARRIED.size, entries=len(Counter)
        )

    def read(self) -> dict[Count, int]:
        """Return the counters of the programs' traffic. The user-space plane counts packets that they leave to it."""
        sent, received = self._sum(Counter.SENT), self._sum(Counter.RECEIVED)
        return {
            Count.TX_PACKETS: sent[0],
            Count.TX_BYTES: sent[1],
            Count.RX_PACKETS: received[0],
            Count.RX_BYTES: received[1],
            Count.TX_ERRORS: self._sum(Counter.NOT_SENT)[0],
            Count.RX_ERRORS: self._sum(Counter.NOT_RECEIVED)[0],
        }

    def _sum(self, counter: Counter) -> tuple[int, int]:
        key = int(counter).to_bytes(4, sys.byteorder)
        values = syscall.lookup(self.descriptor, key, self._cpus * CARRIED.size) or b""
        each = list(CARRIED.iter_unpack(values))
        return sum(packets for packets, _ in each), sum(size for _, size in each)

    def close(self) -> None:
        os.close(self.descriptor)
