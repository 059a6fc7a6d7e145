"""The listing of subnets out of etcd, and the expiries of leases, which only etcd knows.

Owns the reading of keys into rows. Imported where etcd is asked: it brings asyncio and the lease schema along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flanpy.cli.subnets.rows import Listing, SubnetRow
from flanpy.errors import LeaseGone
from flanpy.model.lease import BackendData, Lease, VxlanData
from flanpy.model.naming import HostNames
from flanpy.store.port import LeaseStore, Snapshot, Store
from flanpy.store.schema import decode_lease, subnets_prefix

FEW: Final = 200
"""Leases up to which expiries are asked for unasked."""

AT_ONCE: Final = 64
"""Requests for expiries under way at a time."""


async def listed(store: Store, prefix: str, *, own: str | None, expiry: bool) -> Listing:
    """All subnets in etcd now; with expiries if asked for or if they are few."""
    listing = of_snapshot(await store.list(subnets_prefix(prefix)), subnets_prefix(prefix), own=own)
    return await with_expiries(store, listing) if expiry or len(listing.rows) <= FEW else listing


def of_snapshot(snapshot: Snapshot, prefix: str, *, own: str | None) -> Listing:
    """The listing that a snapshot of the subnet keys holds, in the order of the subnets."""
    found = [decode_lease(item, prefix) for item in snapshot.items]
    leases = sorted((one for one in found if isinstance(one, Lease)), key=_order)
    names = HostNames.among(leases)
    return Listing(
        rows=tuple(replace(row_of(lease, own=own), host=names.of(lease)) for lease in leases),
        invalid=tuple((one.key, one.reason) for one in found if not isinstance(one, Lease)),
        revision=snapshot.revision,
    )


def _order(lease: Lease) -> tuple[int, int]:
    key = lease.key
    return (
        int(key.subnet.network_address) if key.subnet else 1 << 32,
        int(key.subnet6.network_address) if key.subnet6 else 0,
    )


def row_of(lease: Lease, *, own: str | None) -> SubnetRow:
    """A lease as a row; `own` is this host's node id, None if it has none."""
    record = lease.record
    mac, vni = _vxlan(record.backend_data)
    mac6, vni6 = _vxlan(record.backend_data6)
    return SubnetRow(
        key=str(lease.key),
        subnet=_text(lease.key.subnet),
        subnet6=_text(lease.key.subnet6),
        node_id=record.node_id,
        public_ip=_text(record.public_ip),
        public_ip6=_text(record.public_ip6),
        backend_type=record.backend_type,
        vtep_mac=mac,
        vtep_mac6=mac6,
        vni=vni if vni is not None else vni6,
        lease_id=lease.lease_id,
        reservation=lease.is_reservation,
        own=None if own is None else record.node_id == own,
    )


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _vxlan(data: BackendData | None) -> tuple[str, int | None]:
    return (str(data.mac), data.vni) if isinstance(data, VxlanData) else ("", None)


async def with_expiries(store: LeaseStore, listing: Listing) -> Listing:
    """The same with each lease's remaining seconds, asked for concurrently."""
    return listing.with_expiry(
        await _remaining(store, {row.lease_id for row in listing.rows if row.lease_id})
    )


async def _remaining(store: LeaseStore, lease_ids: Iterable[int]) -> dict[int, int]:
    """Seconds left by lease id; leases that ended meanwhile are left out."""
    turns = asyncio.Semaphore(AT_ONCE)
    left: dict[int, int] = {}

    async def ask(lease_id: int) -> None:
        async with turns:
            try:
                left[lease_id] = (await store.time_to_live(lease_id)).remaining
            except LeaseGone:
                return

    await asyncio.gather(*(ask(lease_id) for lease_id in lease_ids))
    return left
