"""This host's own names, from what root's side saw in Docker. Pure.

A named network's containers are those on Docker's network of that name with an address of its range. On the flat
overlay are all containers with an address of this host's own subnets, whatever Docker calls their network.
"""

from __future__ import annotations

from collections.abc import Mapping

from flanpy.model.address import IPNetwork
from flanpy.model.networks.names import FLAT, NamedContainer, ToldNames
from flanpy.names.view import Ranges, within


def own_names(
    seen: Mapping[str, tuple[NamedContainer, ...]],
    ranges: Ranges,
    subnets: tuple[IPNetwork, ...],
    *,
    node_id: str,
    host: str,
) -> dict[str, ToldNames]:
    """Return what this host tells of each network that it is on, also that it has no containers there."""
    told = {
        network: within(ToldNames(network, node_id, host, seen.get(network, ())), ranges[network])
        for network in ranges
        if network != FLAT
    }
    everywhere = tuple(box for network in seen if network not in told for box in seen[network])
    if FLAT in ranges:
        told[FLAT] = within(ToldNames(FLAT, node_id, host, everywhere), subnets)
    return told
