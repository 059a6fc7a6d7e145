"""The alloc backend: a lease and a subnet.env with the underlay's MTU, and nothing in the kernel.

Something else than flanpy connects the hosts, or nothing does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from flanpy.backend.advert import plain_record
from flanpy.backend.linkless import Linkless
from flanpy.backend.way import WayKind, Ways, one_way
from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.objects import KernelObject
from flanpy.model.world import World


@dataclass(frozen=True, slots=True)
class AllocPeerPlanner:
    """Implements `plan.desired.PeerPlanner`."""

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        """Nothing."""
        return ()

    def peer(self, lease: Lease) -> Iterable[KernelObject]:
        return ()

    def unreached(self, lease: Lease) -> bool:
        return False


class AllocBackend(Linkless):
    """Implements `backend.port.Backend`."""

    cure = ""

    def validate(self, options: Mapping[str, object]) -> None:
        """It has no options."""

    def advertise(self, world: World) -> LeaseRecord | None:
        """Without a BackendType, as flannel's."""
        return plain_record(world, "")

    def planner(self, world: World) -> AllocPeerPlanner | None:
        if world.network is None or world.own is None or world.facts.underlay is None:
            return None
        return AllocPeerPlanner()

    def ways(self, world: World) -> Ways:
        return one_way(WayKind.NONE, "alloc only leases subnets: something else connects the hosts")
