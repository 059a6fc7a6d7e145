"""IPv6's least MTU (RFC 8200): below it the kernel switches IPv6 off on a link, and the overlay does without it.

The IPv4 half of a dual-stack network works all the same. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flanpy.model.address import Family
from flanpy.model.world import World

LEAST_MTU: Final = 1280


@dataclass(frozen=True, slots=True)
class Narrow:
    """IPv6 does not fit: packets on `link` have `mtu` bytes, `header` of which wrap the inner packet."""

    link: str
    mtu: int
    header: int

    def __str__(self) -> str:
        left = (
            f"; behind a header of {self.header} that leaves {self.mtu - self.header}" if self.header else ""
        )
        return (
            f"IPv6 of the overlay is off on this host: packets on {self.link} have {self.mtu} bytes{left}, "
            f"and IPv6 needs {LEAST_MTU}"
        )

    @property
    def cure(self) -> str:
        """Return the larger MTU to give the link, or the way to do without IPv6."""
        return (
            f"give {self.link} an MTU of at least {LEAST_MTU + self.header}, on every host; "
            "or leave IPv6 out of the network: flanpyctl network set"
        )


def narrow(world: World, header: int, mtu: int = 0) -> Narrow | None:
    """Return the reason why IPv6 has no room behind `header` bytes; None if it has, or is not asked for.

    `mtu` is that of the outgoing packets, 0 for the underlay's.
    """
    underlay, network = world.facts.underlay, world.network
    if underlay is None or network is None or network.network6 is None:
        return None
    mtu = mtu or underlay.mtu
    return Narrow(underlay.link, mtu, header) if mtu - header < LEAST_MTU else None


def carried(world: World, header: int, mtu: int = 0) -> tuple[Family, ...]:
    """Return the network's families that this host can carry."""
    assert world.network is not None
    families = world.network.families
    if narrow(world, header, mtu) is None:
        return families
    return tuple(family for family in families if family is not Family.IPV6)
