"""The kernel as the reconcile loop sees it: a narrow port with one real adapter and one fake.

`tests/contract/` runs the same cases against both.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from flanpy.model.facts import HostFacts
from flanpy.model.ops import Objects, Op, OpFailure, Scope

__all__ = ["Kernel", "MonitorSink", "Moved", "OpFailure"]


class Kernel(Protocol):
    """Reads and writes kernel objects of one network namespace (the one we run in)."""

    async def read_back(self, scope: Scope) -> Objects:
        """Return every object in `scope` that exists now. Raises KernelError if the kernel cannot be read whole."""

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """Carry out `ops` in order, batched; return those that failed. One failure stops none of the others.

        Deleting an absent object succeeds. Does not raise for single operations; raises KernelError only when
        the socket itself is unusable.
        """


class Moved(Enum):
    """The reason why the observed objects can no longer be trusted."""

    LINK = "link"
    ADDRESS = "address"
    NEIGHBOUR = "neighbour"
    ROUTE = "route"
    SYSCTL = "sysctl"
    OVERRUN = "overrun"
    DATA_PLANE = "data_plane"
    FILTER = "filter"
    WIREGUARD = "wireguard"


class MonitorSink(Protocol):
    """The listener of the monitor: both calls only replace a value and wake a task."""

    def facts_changed(self, facts: HostFacts) -> None:
        """Take `facts`: the underlay, its MTU or addresses, or the host's routes changed."""

    def kernel_moved(self, moved: Moved) -> None:
        """Note that another program changed an object that may be ours."""
