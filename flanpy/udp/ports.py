"""What the supervisor needs of the two data planes and of the host: the exact surface used, and nothing more."""

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
        """Its process id."""

    async def set_table(self, table: TunnelTable, generation: int) -> None:
        """Returns when the table is in force. Raises KernelError if it was refused or the process is gone."""

    async def counters(self) -> Counts:
        """What it counted since it started. Raises KernelError if the process is gone."""

    async def wait_ended(self) -> str:
        """Returns why, once the process has ended."""

    def kill(self) -> None:
        """End it at once; does nothing if it has ended."""


class FastPath(Protocol):
    """The in-kernel plane: filters on the TUN device and the underlay that outlive us. All calls block, briefly."""

    def attach(self, end: TunnelEnd, table: TunnelTable) -> None:
        """Put filters with this table in place, of any that stand there atomically. Raises KernelError."""

    def set_table(self, table: TunnelTable) -> None:
        """Replace the table of the filters in place. Raises KernelError."""

    def standing(self, end: TunnelEnd) -> bool:
        """Whether our filters are on both links now."""

    def remains(self) -> str:
        """The name of a link that still bears a filter of ours, whoever attached it; "" if there is none."""

    def counters(self) -> Counts:
        """What the filters counted since they were loaded."""

    def detach(self) -> None:
        """Remove every filter of ours, whoever attached it. Raises KernelError."""


class Memory(Protocol):
    """Keeps the table over a restart of the daemon, but not of the host."""

    def load(self) -> tuple[TunnelPeer, ...]:
        """What was saved last; nothing if that cannot be read."""

    def save(self, peers: Iterable[TunnelPeer]) -> None:
        """Keep these; it does not wait for the disk, and names in the log what could not be kept."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """How to make the parts of a data plane. `fast_path` is None where it cannot be."""

    open_queues: Callable[[str], tuple[int, ...]]
    """Open the queues of a TUN device by its name; raises KernelError."""

    open_socket: Callable[[IPv4Address, int], socket.socket]
    """The UDP socket of an address and port; raises KernelError."""

    spawn: Callable[[Sequence[int], socket.socket], Awaitable[Forwarder]]
    """Start the user-space plane on queues and socket; raises KernelError."""

    fast_path: FastPath | None = None
