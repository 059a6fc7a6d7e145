"""Settings that backends need: IP forwarding once a bridge uses our subnet, blackhole routes, switches of links."""

from __future__ import annotations

from ipaddress import IPv4Network

from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.encryption import Encryption
from flanpy.model.objects import Blackhole, HostSysctl, LinkSysctl, LocalRoute
from flanpy.model.world import World
from flanpy.plan.border import guarded, wins

FORWARD4 = "net.ipv4.ip_forward"
FORWARD6 = "net.ipv6.conf.all.forwarding"


def blackholes(world: World) -> tuple[Blackhole, ...]:
    """Return the routes of flannel's `ip-blackhole-route`: drop packets to our subnet while no bridge has that subnet.

    Without them such a packet takes the default route, whose router may send it back. flannel's route precedes any
    bridge's route; ours has the highest metric.
    """
    if world.own is None or not world.policy.blackhole:
        return ()
    return tuple(map(Blackhole, world.own.key.subnets))


def sealing_routes(world: World) -> tuple[Blackhole, ...]:
    """Return the routes that hold the overlay's packets while no peer's route does, on a host that requires encryption.

    Without them they take the default route, in clear. A range that holds one of the host's own ways would take that:
    there the packet filter stands alone.
    """
    if world.network is None or world.policy.encryption is not Encryption.REQUIRED:
        return ()
    borders = guarded(world)
    ranges = (world.network.range(family) for family in world.network.families)
    return tuple(Blackhole(one) for one in ranges if one is not None and wins(one, borders) is None)


def resolver_address(world: World) -> tuple[LocalRoute, ...]:
    """Return the route that makes the resolver's address one of this host's.

    It stays when the daemon ends: a port that nobody has refuses at once, so that Docker asks its next server; to an
    address that nobody has it would wait for 4 s. Rejected: an address on `lo`, which every look at this host's
    addresses would meet.
    """
    address = world.policy.dns_address
    return () if address is None else (LocalRoute(IPv4Network(address)),)


def host_settings(world: World) -> tuple[HostSysctl, ...]:
    """Turn forwarding on for each family in which a bridge of this host has an address in our subnet.

    Without it containers reach nothing beyond their host. It is not turned on earlier: a Docker that finds forwarding
    off turns it on itself and sets the policy of FORWARD to DROP, which keeps neighbours from reaching unpublished
    ports. A Docker that finds it on leaves the policy alone (moby, bridge driver, setupIPForwarding). A Docker with the
    nftables backend (29.0 on) turns nothing on, and makes no bridge before somebody did: it is not waited for.
    """
    names = {Family.IPV4: FORWARD4, Family.IPV6: FORWARD6}
    return tuple(HostSysctl(name, "1") for family, name in names.items() if _forwards(world, family))


def link_settings(world: World, family: Family, link: str) -> tuple[LinkSysctl, ...]:
    """Return the kernel's switches of a device of ours that carries packets of this family.

    A device takes them from `conf/default`, which somebody may have set to anything. IPv4 packets are forwarded by the
    switch of the link that they come in by, so the host's alone is not enough.
    """
    if family is Family.IPV6:
        switches = {"disable_ipv6": "0", "accept_ra": "0"}
    else:
        # A reply may come back over another path than we would choose; loose mode still drops martians.
        switches = {"rp_filter": "2", "proxy_arp": "0"}
        if _forwards(world, family):
            switches["forwarding"] = "1"
    return tuple(LinkSysctl(family, link, name, value) for name, value in switches.items())


def bridges(world: World) -> frozenset[str]:
    """Return the links other than our own with an address in our subnets: those that containers are on."""
    subnets = () if world.own is None else world.own.key.subnets
    return frozenset(
        link
        for address, link in world.facts.placed
        if any(_is_of_bridge(address, subnet) for subnet in subnets)
    )


def _forwards(world: World, family: Family) -> bool:
    subnet = world.own.key.of(family) if world.own is not None else None
    waits = world.docker_waits and family is Family.IPV4
    return subnet is not None and (waits or _is_used(world, subnet))


def _is_used(world: World, subnet: IPNetwork) -> bool:
    """Report whether the host has an address in the subnet; the first one, our own device's, does not count."""
    return any(_is_of_bridge(address, subnet) for address in world.facts.addresses)


def _is_of_bridge(address: IPAddress, subnet: IPNetwork) -> bool:
    return address in subnet and address != subnet.network_address
