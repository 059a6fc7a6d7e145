"""The packet filter rules of a world, which depend on the links that its backend's packets come and go by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from flanpy.backend import bridged
from flanpy.backend.udp import read_port
from flanpy.backend.vxlan import read_options
from flanpy.model.address import Family
from flanpy.model.bridge import BRIDGE
from flanpy.model.cloud import CLOUDS
from flanpy.model.encryption import Encryption
from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import KernelObject
from flanpy.model.packet_filter import (
    EncapsulationGuard,
    FilterMember,
    Flavour,
)
from flanpy.model.wireguard import LINKS
from flanpy.model.world import World
from flanpy.plan.desired import PeerPlanner
from flanpy.plan.encapsulated import Encapsulation
from flanpy.plan.overlay_ranges import Ranges
from flanpy.plan.packet_filter import RuleInputs, choose, packet_filter
from flanpy.plan.sealed import USUAL_PORTS, Sealed

_ANY_LINK = frozenset({"alloc", "extension"})
"""Backends that leave the way of packets to others."""

_BY_UNDERLAY = frozenset({"host-gw", *CLOUDS})
"""Backends whose packets come and go by the underlay's link, as they are."""


def filter_objects(world: World, links: frozenset[str]) -> tuple[KernelObject, ...]:
    """Return the filter objects; `links` are the backends'. Empty without filter facts or a usable flavour."""
    flavour = filter_flavour(world)
    if flavour is None or world.network is None or world.own is None or world.filter is None:
        return ()
    through = _links(world, links)
    ranges = []
    for family in world.network.families:
        network, subnet = world.network.range(family), world.own.key.of(family)
        if network is not None and subnet is not None:
            ranges.append(Ranges(family, network, subnet, through))
    asked = RuleInputs(
        replace(world.policy.filter, encapsulation=guard_of(world)),
        flavour,
        world.filter,
        sets=has_sets(world, flavour),
        guarded=any(route.link == BRIDGE for route in world.facts.routes),
        named=bool(world.named.networks or world.facts.bridges),
        networks=world.named.networks,
        wrapped={one.family: one for one in _encapsulation(world, links, ranges)},
        closed=tuple(_closed(world, ranges)),
    )
    return tuple(packet_filter(asked, ranges))


def _closed(world: World, ranges: Iterable[Ranges]) -> Iterator[Sealed]:
    """Yield what is kept from passing in clear, where this host requires that."""
    underlay = world.facts.underlay
    if world.policy.encryption is not Encryption.REQUIRED or underlay is None:
        return
    for one in ranges:
        ports = sorted({*USUAL_PORTS, *_ports(world, one.family)[0]})
        own = underlay.address if one.family is Family.IPV4 else underlay.address6
        yield Sealed(one.family, one.network, tuple(ports), tuple(LINKS.values()), underlay.link, own)


def filter_flavour(world: World) -> Flavour | None:
    """Return the flavour that our rules use."""
    if world.network is None or world.filter is None:
        return None
    return choose(world.policy.filter, world.network, world.filter)


def _configs(world: World) -> tuple[NetworkConfig, ...]:
    networks = [world.network, world.former.network if world.former is not None else None]
    return tuple(network for network in networks if network is not None)


def _links(world: World, links: frozenset[str]) -> tuple[str, ...]:
    configs = _configs(world)
    if any(config.backend_type in _ANY_LINK for config in configs):
        return ()
    underlay = world.facts.underlay
    direct = any(
        config.backend_type in _BY_UNDERLAY or config.backend_options.get("directrouting")
        for config in configs
    )
    return tuple(sorted(links | {underlay.link} if direct and underlay is not None else links))


# Encapsulated packets


def guard_of(world: World) -> EncapsulationGuard:
    """Return whose encapsulated packets are dropped on this host, never AUTO."""
    guard = world.policy.filter.encapsulation
    if guard is not EncapsulationGuard.AUTO:
        return guard
    return EncapsulationGuard.STRANGERS if world.named.networks else EncapsulationGuard.CONTAINERS


def has_sets(world: World, flavour: Flavour | None) -> bool:
    """Report whether an nftables set distinguishes hosts from others: where nft is, except with iptables-legacy.

    Drops compose across tables, so these rules need not stand where Docker's are.
    """
    facts = world.filter
    return facts is not None and Flavour.NFT in facts.tools and flavour is not Flavour.IPTABLES_LEGACY


def lets_strangers_in(world: World, flavour: Flavour) -> bool:
    """Report whether the operator wants unknown senders dropped, but the set that this needs is unavailable."""
    guard, network = guard_of(world), world.network
    families = network.families if network is not None else ()
    asked = guard is EncapsulationGuard.STRANGERS and any(
        _ports(world, family)[1] or _has_ipip(world, family) for family in families
    )
    return asked and not has_sets(world, flavour)


def _ports(world: World, family: Family) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return all UDP ports of encapsulated packets, and those of VXLAN."""
    vxlan, tunnel = set(), set()
    for config in _configs(world):
        if config.backend_type == "vxlan":
            vxlan.add(read_options(config.backend_options).port)
        elif config.backend_type == "udp" and family is Family.IPV4:
            tunnel.add(read_port(config.backend_options))
    if world.network is not None:
        vxlan.update(bridged.port(joined.network, world.network) for joined in world.named.networks)
    return tuple(sorted(vxlan | tunnel)), tuple(sorted(vxlan))


def _has_ipip(world: World, family: Family) -> bool:
    """Report whether packets of this family arrive in IPIP."""
    return family is Family.IPV4 and any(config.backend_type == "ipip" for config in _configs(world))


def _encapsulation(world: World, links: frozenset[str], ranges: Iterable[Ranges]) -> Iterator[Encapsulation]:
    """Yield the encapsulation of each family; nothing if the operator wants no such rules."""
    guard, underlay = guard_of(world), world.facts.underlay
    if guard is EncapsulationGuard.OFF or underlay is None:
        return
    for one in ranges:
        ports, vxlan = _ports(world, one.family)
        ipip = _has_ipip(world, one.family)
        tunnel = LINKS[Family.IPV4] if one.family is Family.IPV4 and bridged.is_encrypted(world) else ""
        yield Encapsulation(one, ports, vxlan, tuple(sorted(links)), underlay.link, ipip, tunnel)


@dataclass(frozen=True, slots=True)
class GuardedPeerPlanner:
    """Implements `plan.desired.PeerPlanner`: the objects of `inner`, and the set of hosts for the packet filter."""

    inner: PeerPlanner
    families: tuple[Family, ...]
    own: tuple[FilterMember, ...] = field(compare=False)
    tunnel: bool = False

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        return (*self.inner.fixed, *self.own)

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        yield from self.inner.peer(lease)
        yield from _members(lease.record, self.families)
        inner = bridged.overlay_address(lease.key) if self.tunnel else None
        if inner is not None:
            yield FilterMember(inner)

    def unreached(self, lease: Lease) -> bool:
        return self.inner.unreached(lease)


def _members(record: LeaseRecord, families: Iterable[Family]) -> Iterator[FilterMember]:
    for family in families:
        if (public := record.public(family)) is not None:
            yield FilterMember(public)


def guarded(world: World, planner: PeerPlanner) -> PeerPlanner:
    """Return `planner`, with the hosts of the overlay wherever rules refer to them."""
    flavour, network, own = filter_flavour(world), world.network, world.own
    if network is None or own is None or flavour is None or not has_sets(world, flavour):
        return planner
    if guard_of(world) is EncapsulationGuard.OFF:
        return planner
    families = tuple(
        family for family in network.families if _ports(world, family)[0] or _has_ipip(world, family)
    )
    here = (*_members(own.record, families), *_remembered(world, families))
    tunnel = bool(world.named.networks) and bridged.is_encrypted(world)
    return GuardedPeerPlanner(planner, families, here, tunnel) if families else planner


def _remembered(world: World, families: Iterable[Family]) -> Iterator[FilterMember]:
    """Yield the members of named networks that the disk knows, until etcd tells of their leases: a host that boots
    while etcd is away has the networks, and would drop what their other hosts send."""
    if world.named.listed:
        return
    addresses = {address for joined in world.named.networks for address in joined.members}
    yield from (
        FilterMember(address) for address in sorted(addresses, key=str) if Family.of(address) in families
    )
