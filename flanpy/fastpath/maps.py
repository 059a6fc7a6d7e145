"""The maps of the fast path: flows, packets on the normal way, counts of peers, and the daemon's word.

Owns their limits: each holds the flows that were used last, and a flow that falls out goes the normal way.
Must not: attach anything.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from flanpy.fastpath.layout import CONFIG, COUNTS, IN_ENTRY, KEY, MET, OUT_ENTRY
from flanpy.model.fast_path import FastCounts
from flanpy.udp.bpf import syscall

FLOWS: Final = 1 << 15
"""Flows in each direction; about 12 MiB in all, taken when the maps are made."""

MEETINGS: Final = 1 << 13
PEERS: Final = 1 << 12

_FIRST: Final = bytes(4)


@dataclass(frozen=True, slots=True)
class Word:
    """The daemon's word: the generation, the monotonic time (ns) until which it holds, and the MTUs both ways."""

    generation: int = 0
    until_ns: int = 0
    mtu_out: int = 0
    mtu_in: int = 0


class FlowMaps:
    """Close them, or their descriptors stay open; the kernel keeps them while a program uses them."""

    def __init__(self) -> None:
        self._cpus = syscall.possible_cpus()
        with ExitStack() as stack:

            def made(kind: int, name: str, key: int, value: int, entries: int) -> int:
                descriptor = syscall.create_map(kind, name, key=key, value=value, entries=entries)
                stack.callback(os.close, descriptor)
                return descriptor

            self.config = made(syscall.MAP_ARRAY, "flanpy_fp_cfg", 4, CONFIG.size, 1)
            self.out = made(syscall.MAP_LRU_HASH, "flanpy_fp_out", KEY.size, OUT_ENTRY, FLOWS)
            self.into = made(syscall.MAP_LRU_HASH, "flanpy_fp_in", KEY.size, IN_ENTRY, FLOWS)
            self.met = made(syscall.MAP_LRU_HASH, "flanpy_fp_met", KEY.size, MET.size, MEETINGS)
            self.peers = made(syscall.MAP_LRU_PERCPU_HASH, "flanpy_fp_peers", 4, COUNTS.size, PEERS)
            self._descriptors = stack.pop_all()

    def vouch(self, word: Word) -> None:
        """Set the generation, which empties the cache if it is another, and the time until which it holds."""
        packed = CONFIG.pack(word.generation, word.until_ns, word.mtu_out, word.mtu_in)
        syscall.update(self.config, [(_FIRST, packed)])

    def counts(self) -> dict[IPv4Address, FastCounts]:
        """Return what was counted for each peer. Raises KernelError."""
        found = {}
        for key in list(syscall.keys(self.peers, 4)):
            values = syscall.lookup(self.peers, key, self._cpus * COUNTS.size) or b""
            total = [sum(column) for column in zip(*COUNTS.iter_unpack(values), strict=True)] or [0] * 8
            pairs = [(total[at], total[at + 1]) for at in range(0, 8, 2)]
            found[IPv4Address(key)] = FastCounts(*pairs)
        return found

    def close(self) -> None:
        self._descriptors.close()
