"""The objects of the network's backend and, while hosts move from another backend, those of that one.

A peer is reached by the backend that *its* lease advertises, and the backend that our lease advertised is kept as long
as peers may use it: so both work all the time, whichever host moves first. No state is kept here: `World.former` names
the backend that the network had, and the leases tell which peers use it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from flanpy.backend import bridged
from flanpy.backend.filtering import filter_objects, guarded
from flanpy.backend.registry import backend_for
from flanpy.backend.udp import UdpPeerPlanner
from flanpy.backend.way import Way, Ways
from flanpy.backend.wireguard import WireguardPeerPlanner
from flanpy.model.lease import Lease
from flanpy.model.objects import KernelObject
from flanpy.model.ops import Objects
from flanpy.model.world import World
from flanpy.plan.admission import lease_type
from flanpy.plan.desired import PeerPlanner, plan_all
from flanpy.plan.host_settings import blackholes, host_settings, resolver_address, sealing_routes
from flanpy.plan.ipv6_room import Narrow


@dataclass(frozen=True, slots=True)
class MovingPeerPlanner:
    """Implements `plan.desired.PeerPlanner` for two backends at once; leases of `former_type` use `former`."""

    current: PeerPlanner
    former: PeerPlanner
    former_type: str

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        """Return the fixed objects of both; the current backend's wins on a shared key."""
        wanted = {obj.key: obj for obj in (*self.former.fixed, *self.current.fixed)}
        return tuple(wanted.values())

    def peer(self, lease: Lease) -> Iterable[KernelObject]:
        # A host sends in the new way as soon as our lease says so, and in the old until then; only a UDP tunnel and
        # WireGuard refuse what comes from hosts that they do not know.
        for planner in (self.current, self.former):
            if isinstance(planner, UdpPeerPlanner | WireguardPeerPlanner):
                yield from planner.heard(lease)
        yield from self._of(lease).peer(lease)

    def unreached(self, lease: Lease) -> bool:
        return self._of(lease).unreached(lease)

    def _of(self, lease: Lease) -> PeerPlanner:
        return self.former if lease.record.backend_type == self.former_type else self.current


def planner(world: World) -> PeerPlanner | None:
    """Return our side of the overlay; None while lease, network or underlay is missing."""
    found = _planner(world)
    return guarded(world, found) if found is not None else None


def _planner(world: World) -> PeerPlanner | None:
    network = world.network
    current = backend_for(network.backend_type).planner(world) if network is not None else None
    then = former_world(world)
    if then is None or then.network is None:
        return current
    former = backend_for(then.network.backend_type).planner(then)
    if current is None or former is None:
        return current or former
    return MovingPeerPlanner(current, former, lease_type(then.network.backend_type))


def plan(world: World, peers: Iterable[Lease]) -> Objects | None:
    """Plan the kernel objects that should exist, from nothing; None while they cannot be known."""
    found = planner(world)
    if found is None or world.network is None:
        return None
    return plan_all(found, host_objects(world), peers)


def host_objects(world: World) -> tuple[KernelObject, ...]:
    """Return the objects that every backend needs on this host. The network must be known."""
    assert world.network is not None
    return (
        *host_settings(world),
        *blackholes(world),
        *sealing_routes(world),
        *resolver_address(world),
        *bridged.objects(world),
        *filter_objects(world, overlay_links(world)),
    )


def links(world: World) -> frozenset[str]:
    """Return the names of the links that we make in this world."""
    return overlay_links(world) | bridged.links(world)


def overlay_links(world: World) -> frozenset[str]:
    """Return the names of the links that the overlay's packets go by."""
    if world.network is None:
        return frozenset()
    names = backend_for(world.network.backend_type).links(world)
    then = former_world(world)
    if then is None or then.network is None:
        return names
    return names | backend_for(then.network.backend_type).links(then)


def mtu(world: World) -> int:
    """Return the MTU of the containers' network in bytes, 0 while it cannot be known."""
    return backend_for(world.network.backend_type).mtu(world) if world.network is not None else 0


def narrow(world: World) -> Narrow | None:
    """Return the reason why packets of this host are too small for the network's IPv6; None if they are not."""
    return backend_for(world.network.backend_type).narrow(world) if world.network is not None else None


def ways(world: World) -> Ways:
    """Return how peers are reached, for people. The network must be known."""
    assert world.network is not None
    now = backend_for(world.network.backend_type).ways(world)
    then = former_world(world)
    if then is None or then.network is None:
        return now
    name = then.network.backend_type
    before, before_type = backend_for(name).ways(then), lease_type(name)

    def way(lease: Lease) -> Way:
        if lease.record.backend_type != before_type:
            return now(lease)
        found = before(lease)
        reason = "; ".join(filter(None, (f"it still advertises {name}", found.reason)))
        return replace(found, reason=reason)

    return way


def former_world(world: World) -> World | None:
    """Return the world as the former backend sees it, None if there is no former backend."""
    former, own = world.former, world.own
    if former is None or own is None:
        return None
    # the plane that carries packets now goes on carrying them
    policy = replace(world.policy, fast_path=former.record.fast_path)
    own = replace(own, record=former.record)
    return replace(world, policy=policy, network=former.network, own=own, former=None)
