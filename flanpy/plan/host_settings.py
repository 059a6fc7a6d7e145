"""What the host itself needs, whatever the backend: that it forwards once it has whom to forward for, and whither."""

from __future__ import annotations

from flanpy.model.address import IPNetwork
from flanpy.model.objects import Blackhole, HostSysctl
from flanpy.model.world import World

FORWARD4 = "net.ipv4.ip_forward"
FORWARD6 = "net.ipv6.conf.all.forwarding"


def blackholes(world: World) -> tuple[Blackhole, ...]:
    """flannel's `ip-blackhole-route`: what is for our subnet goes nowhere while no bridge has that subnet.

    Without, it takes the default route, whose router may well send it back. flannel's stands before any bridge's route;
    ours has the last metric.
    """
    key = world.own.key if world.own is not None and world.policy.blackhole else None
    subnets = () if key is None else (key.subnet, key.subnet6)
    return tuple(Blackhole(subnet) for subnet in subnets if subnet is not None)


def host_settings(world: World) -> tuple[HostSysctl, ...]:
    """Forwarding on, for each family in which a bridge of this host has an address in our subnet.

    Without it containers reach nobody beyond their host. Not before, though: a Docker that finds forwarding off turns
    it on itself and sets the policy of FORWARD to DROP, which keeps neighbours from reaching ports that nobody
    published. One that finds it on leaves the door open (moby, bridge driver, setupIPForwarding).
    """
    key = world.own.key if world.own is not None else None
    settings = []
    if key is not None and key.subnet is not None and _is_used(world, key.subnet):
        settings.append(HostSysctl(FORWARD4, "1"))
    if key is not None and key.subnet6 is not None and _is_used(world, key.subnet6):
        settings.append(HostSysctl(FORWARD6, "1"))
    return tuple(settings)


def _is_used(world: World, subnet: IPNetwork) -> bool:
    """Whether somebody took an address of it; the first is our own device's."""
    return any(
        address.version == subnet.version and address in subnet and address != subnet.network_address
        for address in world.facts.addresses
    )
