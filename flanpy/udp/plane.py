"""The UDP data plane as a part of the kernel: the end of the tunnel and its peers are objects, put and read back.

Owns what is said to stand: the end that runs whole, and the peers whose table it acknowledged. They are kept over a
restart of the daemon, as routes would be: what is then desired of them is put with the first table, and what is not
is deleted only once the gates open. Every change sends the whole table. Must not: choose peers, or watch processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from flanpy.errors import KernelError
from flanpy.model.objects import KernelObject, Key, TunnelEnd, TunnelPeer
from flanpy.model.ops import Objects, Op, OpFailure, Put, Scope
from flanpy.udp.ports import TableMemory, Workshop
from flanpy.udp.supervisor import Supervisor

_NOWHERE = IPv4Address(0)


class UdpPlane:
    """Implements `kernel.composite.Part`."""

    def __init__(self, supervisor: Supervisor, workshop: Workshop, memory: TableMemory) -> None:
        self._supervisor = supervisor
        self._workshop = workshop
        self._memory = memory
        self._peers: dict[Key, TunnelPeer] | None = None

    @property
    def handles(self) -> tuple[type[KernelObject], ...]:
        return (TunnelEnd, TunnelPeer)

    async def read_back(self, _scope: Scope) -> Objects:
        found: dict[Key, KernelObject] = {**self._known()}
        end = self._supervisor.standing or self._left_behind()
        if end is not None:
            found[end.key] = end
        return found

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """All of them or none: a table is taken whole."""
        peers = dict(self._known())
        end = self._supervisor.standing
        for op in ops:
            match op.obj:
                case TunnelEnd() as wanted:
                    end = wanted if isinstance(op, Put) else None
                case TunnelPeer() as peer if isinstance(op, Put):
                    peers[peer.key] = peer
                case _:
                    peers.pop(op.obj.key, None)
        try:
            await self._become(end, peers, stop=any(isinstance(op.obj, TunnelEnd) for op in ops))
        except KernelError as error:
            return tuple(OpFailure(op, error) for op in ops)
        self._keep(peers)
        return ()

    async def _become(self, end: TunnelEnd | None, peers: Mapping[Key, TunnelPeer], *, stop: bool) -> None:
        if end is not None:
            await self._supervisor.hold(end, [peer for peer in peers.values() if peer.link == end.link])
        elif stop:
            await self._supervisor.stop(detach=True)

    def _known(self) -> dict[Key, TunnelPeer]:
        if self._peers is None:
            self._peers = {peer.key: peer for peer in self._memory.load()}
        return self._peers

    def _keep(self, peers: dict[Key, TunnelPeer]) -> None:
        if peers == self._peers:
            return
        self._peers = peers
        self._memory.save(peers.values())

    def _left_behind(self) -> TunnelEnd | None:
        """Filters of an earlier run stand for an end of which nothing else is known."""
        fast, link = self._workshop.fast_path, ""
        with suppress(KernelError):  # routes must not wait for filters that cannot be listed
            link = fast.remains() if fast is not None else ""
        if not link:
            return None
        return TunnelEnd(LEFT_BEHIND, link, _NOWHERE, 0, 0, IPv4Network(0), fast=True)


LEFT_BEHIND = "flannel0"
"""The device that filters are made for; there is only one network yet."""
