"""The turns at the device's queue: one process reads at a time, so that packets leave in the order in which they came.

A packet from the underlay is often answered at once, by the kernel or a container. While the transmitting process
sleeps, the receiving one takes that answer itself: waking the other would cost more than all the rest of the way.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable

_ASLEEP, _TAKING = 0, 1

MOST_LOOKS = 20_000
"""A few milliseconds: if the other has not done by then, it was stopped, and order matters less than going on."""


class TurnFlags:
    """Two flags in memory that both processes share. Each sets its own before it looks at the other's (Dekker)."""

    def __init__(self) -> None:
        self._flags = mmap.mmap(-1, mmap.PAGESIZE)

    def sleep(self) -> None:
        """The transmitting process waits for packets from now on."""
        self._flags[_ASLEEP] = 1

    def wake(self) -> None:
        """It has one; let the other be done with what it took."""
        flags = self._flags
        flags[_ASLEEP] = 0
        if flags[_TAKING]:
            for _ in range(MOST_LOOKS):
                if not flags[_TAKING]:
                    return

    def take(self, forward_one: Callable[[], object]) -> None:
        """The receiving process forwards a packet, unless the other is awake."""
        flags = self._flags
        if not flags[_ASLEEP]:
            return
        flags[_TAKING] = 1
        try:
            if flags[_ASLEEP]:
                forward_one()
        finally:
            flags[_TAKING] = 0
