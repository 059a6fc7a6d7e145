"""The common part of backends that make no link of their own: containers get the underlay's MTU."""

from __future__ import annotations

from flanpy.model.world import World
from flanpy.plan.ipv6_room import Narrow, narrow


class Linkless:
    """Half of `backend.port.Backend`."""

    def links(self, world: World) -> frozenset[str]:
        """Return no links."""
        return frozenset()

    def mtu(self, world: World) -> int:
        """Return the underlay's MTU, as packets get no extra header."""
        return world.facts.underlay.mtu if world.facts.underlay is not None else 0

    def narrow(self, world: World) -> Narrow | None:
        return narrow(world, 0)
