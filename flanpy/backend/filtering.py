"""The packet filter rules of a world, which depend on the links that its backend's packets come and go by."""

from __future__ import annotations

from flanpy.model.objects import KernelObject
from flanpy.model.packet_filter import Flavour
from flanpy.model.world import World
from flanpy.plan.packet_filter import Ranges, choose, packet_filter

_ANY_LINK = frozenset({"alloc", "extension"})
"""Backends that leave the way of packets to others."""


def filter_objects(world: World, links: frozenset[str]) -> tuple[KernelObject, ...]:
    """`links` are those that the backends make. Nothing while filters were not looked at, or no flavour can be used."""
    flavour = filter_flavour(world)
    if flavour is None or world.network is None or world.own is None or world.filter is None:
        return ()
    through = _links(world, links)
    ranges = []
    for family in world.network.families:
        network, subnet = world.network.range(family), world.own.key.of(family)
        if network is not None and subnet is not None:
            ranges.append(Ranges(family, network, subnet, through))
    return tuple(packet_filter(world.policy.filter, flavour, world.filter, ranges))


def filter_flavour(world: World) -> Flavour | None:
    """Which filter our rules are in."""
    if world.network is None or world.filter is None:
        return None
    return choose(world.policy.filter, world.network, world.filter)


def _links(world: World, links: frozenset[str]) -> tuple[str, ...]:
    networks = [world.network, world.former.network if world.former is not None else None]
    configs = [network for network in networks if network is not None]
    if any(config.backend_type in _ANY_LINK for config in configs):
        return ()
    underlay = world.facts.underlay
    direct = any(
        config.backend_type == "host-gw" or config.backend_options.get("directrouting") for config in configs
    )
    return tuple(sorted(links | {underlay.link} if direct and underlay is not None else links))
