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
        """Every object in `scope` that exists now. Raises KernelError if the kernel cannot be read whole."""

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """Carry out `ops` in order, batched; returns those that failed. One failure stops none of the others.

        Deleting what is not there succeeds. Does not raise for single operations; raises KernelError only when
        the socket itself is unusable.
        """


class Moved(Enum):
    """Why the observed objects can no longer be trusted."""

    LINK = "link"
    ADDRESS = "address"
    NEIGHBOUR = "neighbour"
    ROUTE = "route"
    SYSCTL = "sysctl"
    OVERRUN = "overrun"
    DATA_PLANE = "data_plane"
    FILTER = "filter"


class MonitorSink(Protocol):
    """Who listens to the monitor: both calls only replace a value and wake a task."""

    def facts_changed(self, facts: HostFacts) -> None:
        """The underlay, its MTU or addresses, or the host's routes are now `facts`."""

    def kernel_moved(self, moved: Moved) -> None:
        """Something that may be ours was changed by someone else."""
