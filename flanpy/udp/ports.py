"""The supervisor's ports to the two data planes and the host: the exact surface used, and nothing more."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from flanpy.model.objects import TunnelEnd, TunnelPeer
from flanpy.model.tunnel import Count, TunnelTable

Counts = Mapping[Count, int]


class Forwarder(Protocol):
    """The running process of the user-space plane."""

    @property
    def pid(self) -> int:
        """Return the process id."""

    async def set_table(self, table: TunnelTable, generation: int) -> None:
        """Return once the table is in force. Raises KernelError if it was refused or the process is gone."""

    async def counters(self) -> Counts:
        """Return the process's counters since its start. Raises KernelError if the process is gone."""

    async def wait_ended(self) -> str:
        """Wait for the process's end, and return the reason."""

    def kill(self) -> None:
        """End it at once; does nothing if it has ended."""


class FastPath(Protocol):
    """The in-kernel plane: filters on the TUN device and the underlay that outlive us. All calls block, briefly."""

    def attach(self, end: TunnelEnd, table: TunnelTable) -> None:
        """Attach filters with this table, atomically replacing any that are there. Raises KernelError."""

    def set_table(self, table: TunnelTable) -> None:
        """Replace the table of the filters in place. Raises KernelError."""

    def standing(self, end: TunnelEnd) -> bool:
        """Report whether our filters are on both links now."""

    def remains(self) -> str:
        """Return the name of a link that still has a filter of ours, from any process; "" if there is none."""

    def counters(self) -> Counts:
        """Return the counters of the filters since they were loaded."""

    def detach(self) -> None:
        """Remove every filter of ours, from any process. Raises KernelError."""


class TableMemory(Protocol):
    """Keeps the table over a restart of the daemon, but not of the host."""

    def load(self) -> tuple[TunnelPeer, ...]:
        """Load the peers that were saved last; none if the file cannot be read."""

    def save(self, peers: Iterable[TunnelPeer]) -> None:
        """Keep these; it does not wait for the disk, and names in the log what could not be kept."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """The makers of a data plane's parts. `fast_path` is None where it is not available."""

    open_queues: Callable[[str], tuple[int, ...]]
    """Open the queues of a TUN device by its name; raises KernelError."""

    open_socket: Callable[[IPv4Address, int], socket.socket]
    """The UDP socket of an address and port; raises KernelError."""

    spawn: Callable[[Sequence[int], socket.socket], Awaitable[Forwarder]]
    """Start the user-space plane on queues and socket; raises KernelError."""

    fast_path: FastPath | None = None
