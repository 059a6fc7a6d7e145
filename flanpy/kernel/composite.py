"""One kernel made of parts, each responsible for some types of objects: netlink, the UDP data plane, the packet filter.

So one reconciler serves them all: its gates, brake, difference, preview, cleanup and metrics know no parts. Must not:
know what any part does, or retry.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Protocol

from flanpy.kernel.port import Kernel, OpFailure
from flanpy.model.objects import KernelObject, Key
from flanpy.model.ops import Objects, Op, Scope


class Part(Kernel, Protocol):
    """A kernel for the objects of some types only.

    `read_back` leaves out of the scope what is none of its business, and returns objects of its own types. A change
    of one of them behind its back the part reports to a `MonitorSink` by `kernel_moved`. A KernelError from
    `read_back` or `apply` fails the whole pass, routes and all: for trouble of its own a part returns OpFailures.
    """

    @property
    def handles(self) -> tuple[type[KernelObject], ...]:
        """The types of objects that only this part reads and writes."""


class CompositeKernel:
    """Implements `kernel.port.Kernel`. Types that no part handles are `base`'s."""

    def __init__(self, base: Kernel, parts: Sequence[Part] = ()) -> None:
        self._base = base
        self._parts = tuple(parts)
        self._by_type: dict[type[KernelObject], Kernel] = {
            type_: part for part in parts for type_ in part.handles
        }

    async def read_back(self, scope: Scope) -> Objects:
        found: dict[Key, KernelObject] = {**await self._base.read_back(scope)}
        for part in self._parts:
            found.update(await part.read_back(scope))
        return found

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        if not self._by_type:
            return await self._base.apply(ops)
        failures: list[OpFailure] = []
        for part, run in groupby(ops, key=self._part_of):
            failures += await part.apply(tuple(run))
        return tuple(failures)

    def _part_of(self, op: Op) -> Kernel:
        return self._by_type.get(type(op.obj), self._base)
