"""The traits of a kind of kernel object: how the planner treats objects of it, whatever they are.

Each kind states on its class what differs from the defaults, so that a new kind is made in one place.
"""

from __future__ import annotations

from typing import ClassVar

from flanpy.model.address import IPNetwork
from flanpy.model.put_order import PutOrder


class Traits:
    """The base of all kinds. A kind has a `phase`, its place in the order of puts, and a `key`, its identity."""

    __slots__ = ()

    deletable: ClassVar[bool] = True
    """False for what always has some value, what we never merely take away, and what is never ours."""
    only_ours: ClassVar[bool] = False
    """Nobody else makes such an object: it is ours wherever it is seen."""
    is_of_peer: ClassVar[bool] = False
    """It serves one peer: it goes with that peer's lease, and mass deletions of it are held back."""
    is_spare: ClassVar[bool] = False
    """Traffic with peers goes on where it cannot be put."""

    @property
    def home(self) -> str | None:
        """Return the name of the link that the object lives on and dies with, None for links and what needs none."""
        return None

    @property
    def needed(self) -> str | None:
        """Return the name of the link without which the object cannot be put."""
        return self.home

    @property
    def destinations(self) -> tuple[IPNetwork, ...]:
        """Return a peer's subnets that the object leads to."""
        return ()


class LinkTraits(Traits):
    """The traits of a link of a kind that we make. `in_place` names what the kernel changes without a new device."""

    __slots__ = ()
    name: str
    alias: str
    phase = PutOrder.LINK
    in_place: ClassVar[tuple[str, ...]] = ("mtu", "alias")

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("link", self.name)


class OnLink(Traits):
    """The traits of an object on a link: the kernel drops it with the link."""

    __slots__ = ()
    link: str

    @property
    def home(self) -> str | None:
        return self.link
