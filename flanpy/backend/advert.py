"""The content of most backends' leases: the host's public addresses, and its backend."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from flanpy.model.lease import LeaseRecord
from flanpy.model.world import World
from flanpy.plan.ipv6_room import narrow


@dataclass(frozen=True, slots=True)
class PublicAddresses:
    """The addresses that peers send to; None for a family that is off."""

    ip: IPv4Address | None
    ip6: IPv6Address | None


def public_addresses(world: World) -> PublicAddresses | None:
    """Return the addresses to advertise; None while a family of the network has none here.

    On an underlay with less than IPv6's least MTU there will be none of IPv6: then IPv4 does without.
    """
    network, underlay, policy = world.network, world.facts.underlay, world.policy
    if network is None or underlay is None:
        return None
    ip = (policy.public_ip or underlay.address) if network.network else None
    ip6 = (policy.public_ip6 or underlay.address6) if network.network6 else None
    without_ipv6 = network.network is not None and narrow(world, 0) is not None
    if (network.network and ip is None) or (network.network6 and ip6 is None and not without_ipv6):
        return None
    return PublicAddresses(ip, ip6)


def plain_record(world: World, backend_type: str) -> LeaseRecord | None:
    """Return the record of a backend that publishes only the host's addresses."""
    public = public_addresses(world)
    if public is None:
        return None
    policy = world.policy
    return LeaseRecord(
        public.ip, public.ip6, backend_type, node_id=policy.node_id, host_name=policy.host_name
    )
