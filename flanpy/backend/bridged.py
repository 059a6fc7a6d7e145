"""Named networks on this host: a VXLAN device in each of Docker's bridges, and its flood entries.

A named network is one layer 2 on all hosts. Its frames stay within the bridge, so no route, neighbour or filter rule
belongs to it; the device learns where addresses are, and floods what it has not learned to every other member. Docker
makes the bridge; until it is here the device stands beside, and joins it as soon as it comes. On a network of WireGuard
the wrapped packets go through its tunnel, between the overlay addresses of the hosts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from flanpy.backend.vxlan import DEFAULT_PORT, VxlanOptions, read_options
from flanpy.model.address import Family, IPAddress, Mac
from flanpy.model.encryption import ENCRYPTING
from flanpy.model.lease import SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.announcement import Segment
from flanpy.model.networks.definition import NamedNetwork
from flanpy.model.networks.view import Joined
from flanpy.model.objects import BridgePort, FloodEntry, KernelObject, LinkFeature, LinkUp, VxlanLink
from flanpy.model.wireguard import LINKS
from flanpy.model.world import World
from flanpy.plan.offload import checksum_offload


def links(world: World) -> frozenset[str]:
    """Return the names of the devices that we make for named networks."""
    return frozenset(joined.port for joined in world.named.networks)


def objects(world: World) -> Iterator[KernelObject]:
    """Yield the objects of every named network; none while there is no underlay."""
    outer = _outer(world)
    if outer is None or world.network is None:
        return
    for joined in world.named.networks:
        yield from _network(world, world.network, joined, outer)


def segment(world: World, link: str) -> Segment | None:
    """Return the way to the other members of the network whose device this is, None if this host is not on it."""
    outer = _outer(world)
    joined = next((one for one in world.named.networks if one.port == link), None)
    if joined is None or outer is None or world.network is None:
        return None
    return Segment(
        joined.network.vni,
        port(joined.network, world.network),
        outer.local,
        tuple(_others(world, joined, outer)),
    )


@dataclass(frozen=True, slots=True)
class Outer:
    """The way of the wrapped packets: link and our address.

    `inner`: through WireGuard, the overlay addresses of hosts by their public ones; None beneath the overlay.
    """

    link: str
    local: IPAddress
    inner: Mapping[IPAddress | None, IPAddress | None] | None = None


def is_encrypted(world: World) -> bool:
    """Report whether named networks go through the overlay's own tunnel: every host is in it, and it encrypts."""
    network, own = world.network, world.own
    if network is None or own is None or own.key.subnet is None:
        return False
    return network.backend_type == ENCRYPTING and world.former is None


def overlay_address(key: SubnetKey) -> IPAddress | None:
    """Return the address that a host's WireGuard device has."""
    return key.subnet.network_address if key.subnet is not None else None


def _outer(world: World) -> Outer | None:
    underlay, own = world.facts.underlay, world.own
    if underlay is None:
        return None
    inner = overlay_address(own.key) if own is not None and is_encrypted(world) else None
    if inner is not None:
        leases = world.view.leases.values()
        hosts: dict[IPAddress | None, IPAddress | None] = {
            lease.record.public_ip: overlay_address(lease.key) for lease in leases
        }
        return Outer(LINKS[Family.IPV4], inner, hosts)
    local = underlay.address or underlay.address6
    return Outer(underlay.link, local) if local is not None else None


def _others(world: World, joined: Joined, outer: Outer) -> Iterator[IPAddress]:
    others = [member for member in joined.members if member not in world.facts.addresses]
    if outer.inner is None:
        yield from (member for member in others if member.version == outer.local.version)
        return
    found = map(outer.inner.get, others)
    yield from sorted(address for address in found if isinstance(address, IPv4Address))


def port(network: NamedNetwork, flat: NetworkConfig) -> int:
    """Return the UDP port of a named network: that of its definition, which no change of the overlay's moves."""
    return network.port or overlay_port(flat)


def overlay_port(flat: NetworkConfig) -> int:
    """Return the UDP port of the overlay's vxlan backend, the usual one if it has another backend."""
    options = vxlan_options(flat)
    return options.port if options is not None else DEFAULT_PORT


def vxlan_options(network: NetworkConfig) -> VxlanOptions | None:
    """Return the options of the overlay's vxlan backend, None if it has another."""
    return read_options(network.backend_options) if network.backend_type == "vxlan" else None


def _network(world: World, flat: NetworkConfig, joined: Joined, outer: Outer) -> Iterator[KernelObject]:
    name, udp_port, options = joined.port, port(joined.network, flat), vxlan_options(flat)
    yield VxlanLink(
        name=name,
        vni=joined.network.vni,
        port=udp_port,
        parent=outer.link,
        local=outer.local,
        mac=_mac(world.policy.node_id, joined.network.vni),
        mtu=joined.network.mtu,
        learning=True,
        # devices on one UDP port share its socket, which either expects the extension or does not
        gbp=options is not None and options.gbp and options.port == udp_port,
    )
    yield LinkFeature(name, "tx-checksum-ip-generic", enabled=checksum_offload(world).on)
    if joined.bridge in world.facts.bridges:
        yield BridgePort(name, joined.bridge)
    yield LinkUp(name)
    for member in _others(world, joined, outer):
        yield FloodEntry(name, member)


def _mac(node_id: str, vni: int) -> Mac:
    """Return the device's own MAC, the same after each start; no frame of a container carries it."""
    return Mac.derived(f"{node_id}/{vni}/named")
