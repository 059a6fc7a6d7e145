"""The place of a new named network among all others: no subnet and no VNI is given twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from flanpy.errors import ConfigError
from flanpy.model.address import IPNetwork, is_within
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.definition import FIRST_VNI, LAST_VNI, NamedNetwork
from flanpy.model.networks.view import Joined
from flanpy.model.world import World

Flat = tuple[tuple[IPNetwork, ...], int]
"""The ranges and the VNI (0: none) of the overlay's network config."""


def free_vni(others: Iterable[NamedNetwork], flat: int) -> int:
    """Return the lowest VNI that is given out and no network has. Raises ConfigError if there is none."""
    taken = {flat, *(one.vni for one in others)}
    found = next((vni for vni in range(FIRST_VNI, LAST_VNI + 1) if vni not in taken), 0)
    if not found:
        raise ConfigError("no VNI is free: remove networks that nobody uses with flanpyctl networks rm")
    return found


def refuse_taken(new: NamedNetwork, others: Iterable[NamedNetwork], flat: Flat) -> None:
    """Raise ConfigError if the subnet overlaps the overlay's range or another network's, or the VNI is in use."""
    ranges, flat_vni = flat
    if clash := _clash(subnets(new), ranges):
        raise ConfigError(
            f"subnet {clash[0]} overlaps the overlay's own network {clash[1]}: choose another range"
        )
    if new.vni == flat_vni:
        raise ConfigError(f"VNI {new.vni} is the overlay's own: choose another, or leave --vni out")
    for one in others:
        if one.name == new.name:
            continue
        if clash := _clash(subnets(new), subnets(one)):
            raise ConfigError(
                f"subnet {clash[0]} overlaps {clash[1]} of network '{one.name}': choose another range"
            )
        if one.vni == new.vni:
            raise ConfigError(
                f"VNI {new.vni} is that of network '{one.name}': choose another, or leave --vni out"
            )


def subnets(network: NamedNetwork) -> tuple[IPNetwork, ...]:
    """Return the ranges of a network, IPv4 first."""
    return (network.subnet,) if network.subnet6 is None else (network.subnet, network.subnet6)


def flat_ranges(config: NetworkConfig) -> tuple[IPNetwork, ...]:
    """Return the ranges of the overlay's own network."""
    found = (config.range(family) for family in config.families)
    return tuple(one for one in found if one is not None)


def _clash(these: Iterable[IPNetwork], those: Iterable[IPNetwork]) -> tuple[IPNetwork, IPNetwork] | None:
    """Return the first two that share addresses."""
    pairs = ((one, other) for one in these for other in those)
    return next((pair for pair in pairs if is_within(*pair) or is_within(*reversed(pair))), None)


def refusals(networks: Iterable[Joined], world: World) -> dict[str, str]:
    """Return why this host keeps out of a network, by its name: Docker's bridge would take the range from the host.

    Every writer of etcd can define a network; its range must not hold an address of this host or of etcd, the overlay's
    range, or another network's.
    """
    found: dict[str, str] = {}
    accepted: list[Joined] = []
    for joined in networks:
        reason = _refusal(joined, accepted, world)
        if reason:
            found[joined.network.name] = reason
        else:
            accepted.append(joined)
    return found


def _refusal(joined: Joined, others: Iterable[Joined], world: World) -> str:
    mine = subnets(joined.network)
    for subnet in mine:
        for address, link in world.facts.placed:
            if address in subnet and link != joined.bridge:
                return f"subnet {subnet} holds {address} of {link} on this host"
        for endpoint in world.etcd:
            if endpoint.address in subnet:
                return f"subnet {subnet} holds {endpoint.address} of etcd"
    if world.network is not None and (clash := _clash(mine, flat_ranges(world.network))):
        return f"subnet {clash[0]} overlaps the overlay's own network {clash[1]}"
    for other in others:
        if _clash(mine, subnets(other.network)) or joined.network.vni == other.network.vni:
            return f"subnet {mine[0]} or VNI {joined.network.vni} is network '{other.network.name}'s too"
    return ""
