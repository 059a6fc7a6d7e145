"""The announcer of addresses as the daemon has it: the way to members from the loop's world, counts to the board."""

from __future__ import annotations

from flanpy.backend.bridged import segment
from flanpy.clock import Clock
from flanpy.kernel.announcer import Announcer
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.status.inputs import StatusSink


def announcer(clock: Clock, loop: ReconcileLoop, board: StatusSink) -> Announcer:
    """Return the announcer of this host's containers."""
    return Announcer(
        clock,
        way=lambda device: segment(loop.world, device),
        counted=lambda counts: board.note(containers=counts),
    )
