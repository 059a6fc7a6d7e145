"""The names of the hosts of a world, for people. Pure."""

from __future__ import annotations

from flanpy.model.naming import HostNames
from flanpy.model.world import World


def own_name(world: World) -> str:
    """Return this host's name as every host shows it."""
    names = HostNames.among(world.view.leases.values())
    return names.name(world.policy.host_name, world.policy.node_id)
