"""The newest values that parts of the daemon publish for other parts to decide by.

The status board holds the same values for people and is never read back: what it shows may be late on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.docker.watcher import DockerReport
from flanpy.model.lease import Lease
from flanpy.model.reach import Reach, ReachReport
from flanpy.model.tuning import HostTuning
from flanpy.reconcile.outcome import Pass


@dataclass(slots=True)
class Latest:
    """Each value is None before its part publishes the first. Only the agent writes them."""

    last: Pass | None = None
    reach: ReachReport | None = None
    docker: DockerReport | None = None
    tuning: HostTuning | None = None

    def answers(self, lease: Lease) -> bool:
        """Report whether the last round of probes reached this peer."""
        peer = self.reach.peers.get(lease.key) if self.reach is not None else None
        return peer is not None and peer.reach in {Reach.REACHABLE, Reach.LOSSY}
