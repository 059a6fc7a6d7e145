"""One kernel of parts: each type of object goes to the part that handles it, in order; all is read back together."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network

import pytest

from flanpy.errors import KernelError
from flanpy.kernel.composite import CompositeKernel
from flanpy.model.objects import HostSysctl, KernelObject, Key, TunLink, TunnelPeer
from flanpy.model.ops import Delete, Objects, Op, OpFailure, Put, Scope

pytestmark = pytest.mark.asyncio

LINK = TunLink("flannel0", 1472)
PEERS = [
    TunnelPeer("flannel0", IPv4Network(f"10.50.{n}.0/24"), IPv4Address(f"192.0.2.{n}")) for n in range(1, 4)
]
FORWARD = HostSysctl("net.ipv4.ip_forward", "1")


class Recorder:
    """A part that takes everything but what it was told to refuse, and writes down each run."""

    def __init__(self, name: str, runs: list[tuple[str, int]], *types: type[KernelObject]) -> None:
        self.handles = types
        self.refused: KernelObject | None = None
        self._name = name
        self._runs = runs
        self._objects: dict[Key, KernelObject] = {}

    async def read_back(self, _scope: Scope) -> Objects:
        return self._objects

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        self._runs.append((self._name, len(ops)))
        for op in ops:
            if isinstance(op, Put):
                self._objects[op.obj.key] = op.obj
            else:
                self._objects.pop(op.obj.key, None)
        return tuple(OpFailure(op, KernelError("no")) for op in ops if op.obj == self.refused)


async def test_runs_of_operations_go_to_their_parts_in_the_order_given() -> None:
    runs: list[tuple[str, int]] = []
    base, tunnel = Recorder("netlink", runs), Recorder("tunnel", runs, TunnelPeer)
    kernel = CompositeKernel(base, [tunnel])
    assert await kernel.apply([Put(LINK), *map(Put, PEERS), Put(FORWARD), Delete(PEERS[0])]) == ()
    assert runs == [("netlink", 1), ("tunnel", 3), ("netlink", 1), ("tunnel", 1)]
    assert set((await kernel.read_back(Scope())).values()) == {LINK, FORWARD, *PEERS[1:]}


async def test_failures_of_all_parts_are_returned_and_stop_nobody() -> None:
    runs: list[tuple[str, int]] = []
    base, tunnel = Recorder("netlink", runs), Recorder("tunnel", runs, TunnelPeer)
    base.refused, tunnel.refused = LINK, PEERS[1]
    failures = await CompositeKernel(base, [tunnel]).apply([Put(LINK), *map(Put, PEERS), Put(FORWARD)])
    assert [failure.op.obj for failure in failures] == [LINK, PEERS[1]]
    assert len(runs) == 3


async def test_without_parts_everything_is_the_bases() -> None:
    runs: list[tuple[str, int]] = []
    await CompositeKernel(Recorder("netlink", runs)).apply([Put(LINK), *map(Put, PEERS)])
    assert runs == [("netlink", 4)]
