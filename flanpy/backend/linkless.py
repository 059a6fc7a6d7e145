"""What backends have in common that make no link of their own: containers get the underlay's MTU."""

from __future__ import annotations

from flanpy.model.world import World


class Linkless:
    """Half of `backend.port.Backend`."""

    def links(self, world: World) -> frozenset[str]:
        """None."""
        return frozenset()

    def mtu(self, world: World) -> int:
        """The underlay's, as packets get no header more."""
        return world.facts.underlay.mtu if world.facts.underlay is not None else 0
