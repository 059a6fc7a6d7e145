"""Tells the monitor which of this host's addresses are advertised: by the host itself, and by other nodes."""

from __future__ import annotations

from collections.abc import Callable

from flanpy.model.address import IPAddress
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.world import World

Prefer = Callable[[frozenset[IPAddress], frozenset[IPAddress]], None]
"""Takes the addresses that this host advertises, and those of its own that another node advertises."""


class OwnAddresses:
    """Looks at each world, at once where leases are as they were."""

    def __init__(self, prefer: Prefer) -> None:
        self._prefer = prefer
        self._seen: tuple[LeaseView | None, Lease | None, frozenset[IPAddress]] = (None, None, frozenset())

    def look(self, world: World) -> None:
        view, own_lease, addresses = self._seen
        if world.view is view and world.own is own_lease and world.facts.addresses == addresses:
            return
        self._seen = world.view, world.own, world.facts.addresses
        own = world.own.record if world.own is not None else None
        kept = (own.public_ip, own.public_ip6) if own is not None else ()
        here = world.facts.addresses
        claimed = {
            address
            for lease in world.view.leases.values()
            if lease.record.node_id not in {"", world.policy.node_id} and not lease.is_reservation
            for address in (lease.record.public_ip, lease.record.public_ip6)
            if address is not None and address in here
        }
        self._prefer(frozenset(one for one in kept if one is not None), frozenset(claimed))
