"""What a backend is: a Protocol of pure methods, in flannel's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.world import World
from flanpy.plan.ops import Objects


class Backend(Protocol):
    """One way to carry packets between hosts. Every method is a pure function of its arguments."""

    def validate(self, options: Mapping[str, object]) -> None:
        """Judge the options of a network config (keys in lower case). Raises ConfigError naming key and value."""

    def advertise(self, world: World) -> LeaseRecord | None:
        """The record that our own lease should carry; None while the facts do not suffice (no underlay yet)."""

    def mtu(self, world: World) -> int:
        """MTU of the containers' network, for subnet.env; 0 while the facts do not suffice."""

    def plan(self, world: World, peers: Sequence[Lease]) -> Objects | None:
        """The kernel objects that should exist; None (not empty!) while lease, network or underlay is missing.

        `peers` are the leases of the others that were admitted (see `plan.admission`).
        """

    def links(self, world: World) -> frozenset[str]:
        """Names of the links this backend makes for this network, whether or not it can plan yet."""
