"""The content of our lease: the backend's word and the fields of flanpy's own. Also, which lease in etcd is ours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flanpy.backend import choice
from flanpy.backend.registry import backend_for
from flanpy.model.lease import Lease, LeaseRecord
from flanpy.model.world import World


def own_record(world: World, *, token: str, announced: str = "") -> LeaseRecord | None:
    """Return the wanted content of our lease, None while the facts do not suffice; `token` is for a lease without one.

    `announced` is our key of WireGuard, for a lease that does not have it as its backend's.

    A token stays as it stands in etcd, or a restart would write every lease again, and every peer read it.
    """
    assert world.network is not None
    record = backend_for(world.network.backend_type).advertise(world)
    if record is None:
        return None
    known = world.own.record.mesh_token.strip() if world.own is not None else ""
    return replace(
        record,
        mesh_token=known or token,
        without_ipv6=choice.narrow(world) is not None,
        announced_key="" if record.wireguard_key else announced,
    )


def own_lease(
    leases: Iterable[Lease], node_id: str, held: Lease | None, here: Iterable[object]
) -> Lease | None:
    """Return our lease as etcd shows it: by node id, or without one (flannel wrote it) by an address of this host."""
    addresses = set(here)
    for lease in leases:
        record = lease.record
        if record.node_id == node_id:
            return lease
        if not record.node_id and (
            record.public_ip in addresses or (held is not None and lease.key == held.key)
        ):
            return lease
    return None
