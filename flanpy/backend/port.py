"""The backend port: a Protocol of pure methods, in flannel's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flanpy.backend.way import Ways
from flanpy.model.lease import LeaseRecord
from flanpy.model.world import World
from flanpy.plan.desired import PeerPlanner
from flanpy.plan.ipv6_room import Narrow


class Backend(Protocol):
    """One way to carry packets between hosts. Every method is a pure function of its arguments."""

    def validate(self, options: Mapping[str, object]) -> None:
        """Judge the options of a network config (keys in lower case). Raises ConfigError naming key and value."""

    def advertise(self, world: World) -> LeaseRecord | None:
        """Return the record that our own lease should carry; None while the facts do not suffice (no underlay yet)."""

    def mtu(self, world: World) -> int:
        """Return the MTU of the containers' network, for subnet.env; 0 while the facts do not suffice."""

    def narrow(self, world: World) -> Narrow | None:
        """Return the reason why packets of this host are too small for IPv6; None if they are not, or need not be."""

    def planner(self, world: World) -> PeerPlanner | None:
        """Return our side of the overlay, from which each peer is planned (see `plan.desired`).

        None (which does not mean "nothing desired") while lease, network or underlay is missing.
        """

    @property
    def cure(self) -> str:
        """Return the remedy for peers that this backend has no path to."""

    def ways(self, world: World) -> Ways:
        """Return how peers are reached, for people."""

    def links(self, world: World) -> frozenset[str]:
        """Return the names of the links this backend makes for this network, whether or not it can plan yet."""
