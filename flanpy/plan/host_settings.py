"""Host-wide settings that every backend needs: IP forwarding, once a bridge uses our subnet, and blackhole routes."""

from __future__ import annotations

from flanpy.model.address import IPNetwork
from flanpy.model.objects import Blackhole, HostSysctl
from flanpy.model.world import World

FORWARD4 = "net.ipv4.ip_forward"
FORWARD6 = "net.ipv6.conf.all.forwarding"


def blackholes(world: World) -> tuple[Blackhole, ...]:
    """Return the routes of flannel's `ip-blackhole-route`: drop packets to our subnet while no bridge has that subnet.

    Without them such a packet takes the default route, whose router may send it back. flannel's route precedes any
    bridge's route; ours has the highest metric.
    """
    key = world.own.key if world.own is not None and world.policy.blackhole else None
    subnets = () if key is None else (key.subnet, key.subnet6)
    return tuple(Blackhole(subnet) for subnet in subnets if subnet is not None)


def host_settings(world: World) -> tuple[HostSysctl, ...]:
    """Turn forwarding on for each family in which a bridge of this host has an address in our subnet.

    Without it containers reach nothing beyond their host. It is not turned on earlier: a Docker that finds forwarding
    off turns it on itself and sets the policy of FORWARD to DROP, which keeps neighbours from reaching unpublished
    ports. A Docker that finds it on leaves the policy alone (moby, bridge driver, setupIPForwarding).
    """
    key = world.own.key if world.own is not None else None
    settings = []
    if key is not None and key.subnet is not None and _is_used(world, key.subnet):
        settings.append(HostSysctl(FORWARD4, "1"))
    if key is not None and key.subnet6 is not None and _is_used(world, key.subnet6):
        settings.append(HostSysctl(FORWARD6, "1"))
    return tuple(settings)


def _is_used(world: World, subnet: IPNetwork) -> bool:
    """Report whether the host has an address in the subnet; the first one, our own device's, does not count."""
    return any(
        address.version == subnet.version and address in subnet and address != subnet.network_address
        for address in world.facts.addresses
    )
