"""The place of a new named network among all others: no subnet and no VNI is given twice. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network

from flanpy.errors import ConfigError
from flanpy.model.address import IPNetwork
from flanpy.model.networks.definition import FIRST_VNI, LAST_VNI, NamedNetwork
from flanpy.model.networks.view import Joined
from flanpy.model.world import World

Flat = tuple[IPNetwork | None, int]
"""The range and the VNI (0: none) of the overlay's network config."""


def free_vni(others: Iterable[NamedNetwork], flat: int) -> int:
    """Return the lowest VNI that is given out and no network has. Raises ConfigError if there is none."""
    taken = {flat, *(one.vni for one in others)}
    found = next((vni for vni in range(FIRST_VNI, LAST_VNI + 1) if vni not in taken), 0)
    if not found:
        raise ConfigError("no VNI is free: remove networks that nobody uses with flanpyctl networks rm")
    return found


def refuse_taken(new: NamedNetwork, others: Iterable[NamedNetwork], flat: Flat) -> None:
    """Raise ConfigError if the subnet overlaps the overlay's range or another network's, or the VNI is in use."""
    range_, flat_vni = flat
    if _overlap(new.subnet, range_):
        raise ConfigError(
            f"subnet {new.subnet} overlaps the overlay's own network {range_}: choose another range"
        )
    if new.vni == flat_vni:
        raise ConfigError(f"VNI {new.vni} is the overlay's own: choose another, or leave --vni out")
    for one in others:
        if one.name == new.name:
            continue
        if one.subnet.overlaps(new.subnet):
            raise ConfigError(
                f"subnet {new.subnet} overlaps {one.subnet} of network '{one.name}': choose another range"
            )
        if one.vni == new.vni:
            raise ConfigError(
                f"VNI {new.vni} is that of network '{one.name}': choose another, or leave --vni out"
            )


def _overlap(subnet: IPv4Network, range_: IPNetwork | None) -> bool:
    return isinstance(range_, IPv4Network) and subnet.overlaps(range_)


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
    subnet = joined.network.subnet
    for address, link in world.facts.placed:
        if address in subnet and link != joined.bridge:
            return f"subnet {subnet} holds {address} of {link} on this host"
    for endpoint in world.etcd:
        if endpoint.address in subnet:
            return f"subnet {subnet} holds {endpoint.address} of etcd"
    if world.network is not None and _overlap(subnet, world.network.network):
        return f"subnet {subnet} overlaps the overlay's own network {world.network.network}"
    for other in others:
        if subnet.overlaps(other.network.subnet) or joined.network.vni == other.network.vni:
            return f"subnet {subnet} or VNI {joined.network.vni} is network '{other.network.name}'s too"
    return ""
