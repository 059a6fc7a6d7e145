"""Stand-ins for the two data planes: they take tables and count, and break when told. No packet passes them.

They show what the supervisor does with planes; that the real ones behave so is shown by tests/udp/test_contract.py and
by the whole hosts of tests/lab.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from flanpy.errors import KernelError
from flanpy.model.objects import TunnelEnd, TunnelPeer
from flanpy.model.tunnel import Count, TunnelTable
from flanpy.udp.ports import Counts, Workshop


@dataclass(eq=False)
class FakeForwarder:
    """Implements `udp.ports.Forwarder`."""

    pid: int
    tables: list[tuple[int, TunnelTable]] = field(default_factory=list)
    counts: dict[Count, int] = field(default_factory=dict)
    hangs: bool = False
    refuses: str = ""
    killed: bool = False
    end: asyncio.Event = field(default_factory=asyncio.Event)

    async def set_table(self, table: TunnelTable, generation: int) -> None:
        await self._answer()
        self.tables.append((generation, table))

    async def counters(self) -> Counts:
        await self._answer()
        return dict(self.counts)

    async def _answer(self) -> None:
        if self.hangs:
            await asyncio.Event().wait()
        if self.end.is_set():
            raise KernelError("the process is gone")
        if self.refuses:
            raise KernelError(self.refuses)

    async def wait_ended(self) -> str:
        await self.end.wait()
        return "exit code 1"

    def kill(self) -> None:
        self.killed = True
        self.end.set()


@dataclass(eq=False)
class FakeFastPath:
    """Implements `udp.ports.FastPath`; `filters` is the link that bears ours, "" if none does."""

    filters: str = ""
    attached: list[TunnelTable] = field(default_factory=list)
    tables: list[TunnelTable] = field(default_factory=list)
    counts: dict[Count, int] = field(default_factory=dict)
    refuses: str = ""

    def attach(self, end: TunnelEnd, table: TunnelTable) -> None:
        if self.refuses:
            raise KernelError(self.refuses)
        self.filters = end.underlay
        self.attached.append(table)

    def set_table(self, table: TunnelTable) -> None:
        self.tables.append(table)

    def standing(self, end: TunnelEnd) -> bool:
        return self.filters == end.underlay

    def remains(self) -> str:
        return self.filters

    def counters(self) -> Counts:
        return dict(self.counts)

    def detach(self) -> None:
        self.filters = ""


class FakeMemory:
    """Implements `udp.ports.TableMemory`."""

    def __init__(self, peers: Iterable[TunnelPeer] = ()) -> None:
        self.peers = tuple(peers)
        self.saves = 0

    def load(self) -> tuple[TunnelPeer, ...]:
        return self.peers

    def save(self, peers: Iterable[TunnelPeer]) -> None:
        self.peers = tuple(peers)
        self.saves += 1


class Bench:
    """A workshop of stand-ins; `link` of ends must be a real one, such as `lo`."""

    def __init__(self, *, fast: bool = False) -> None:
        self.fast = FakeFastPath() if fast else None
        self.forwarders: list[FakeForwarder] = []
        self.next_refuses = ""
        self.workshop = Workshop(self._open_queues, self._open_socket, self._spawn, self.fast)

    @property
    def last(self) -> FakeForwarder:
        return self.forwarders[-1]

    def _open_queues(self, link: str) -> tuple[int, ...]:
        assert link
        return (os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC),)

    def _open_socket(self, address: IPv4Address, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind((str(address), port))
        except OSError as error:
            sock.close()
            raise KernelError(f"UDP port {port} of {address} is taken", errno=error.errno or 0) from error
        return sock

    async def _spawn(self, queues: Sequence[int], sock: socket.socket) -> FakeForwarder:
        assert queues
        assert sock.fileno() >= 0
        if self.next_refuses:
            raise KernelError(self.next_refuses)
        self.forwarders.append(FakeForwarder(len(self.forwarders) + 1))
        return self.last
