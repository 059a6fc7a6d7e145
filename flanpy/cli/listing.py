"""The listing of subnets: from the daemon's socket, or from etcd.

Owns the choice between the two, and the asking for expiries (only etcd knows them, one request for each lease).
"""

from __future__ import annotations

import asyncio
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from flanpy.cli.host import Host
from flanpy.cli.rows import Listing, SubnetRow, listing_from_daemon
from flanpy.errors import ControlError, HostError, LeaseGone

if TYPE_CHECKING:
    from flanpy.model.lease import BackendData, Lease
    from flanpy.store.port import LeaseStore, Snapshot, Store

FEW: Final = 200
"""Leases up to which expiries are asked for unasked, where etcd is being talked to anyway."""

AT_ONCE: Final = 64
"""Requests for expiries under way at a time."""


def asks_etcd(arguments: Namespace, host: Host) -> bool:
    """Whether the command line says etcd."""
    return bool(arguments.etcd) or host.etcd_named


def current(arguments: Namespace, host: Host, *, expiry: bool) -> Listing:
    """All subnets now. The daemon's answer if there is one, with expiries from etcd if `expiry`."""
    listing = daemons_listing(arguments, host)
    if listing is None:
        return _from_etcd(host, expiry=expiry)
    return _with_expiries(host, listing) if expiry and not listing.has_expiry else listing


def daemons_listing(arguments: Namespace, host: Host) -> Listing | None:
    """What the local daemon says, None if it does not answer or is not to be asked: etcd knows as well."""
    if asks_etcd(arguments, host):
        return None
    try:
        return listing_from_daemon(host.control.get("subnets"))
    except ControlError:
        return None


def _with_expiries(host: Host, listing: Listing) -> Listing:
    from flanpy.cli.etcd import with_etcd

    async def ask(store: LeaseStore) -> Listing:
        return await with_expiries(store, listing)

    return with_etcd(host.settings, ask)


def _from_etcd(host: Host, *, expiry: bool) -> Listing:
    from flanpy.cli.etcd import with_etcd

    own = own_node_id(host)

    async def ask(store: Store) -> Listing:
        return await listed(store, host.settings.etcd.prefix, own=own, expiry=expiry)

    return with_etcd(host.settings, ask)


async def listed(store: Store, prefix: str, *, own: str | None, expiry: bool) -> Listing:
    """All subnets in etcd now; with expiries if asked for or if they are few."""
    from flanpy.store.schema import subnets_prefix

    listing = of_snapshot(await store.list(subnets_prefix(prefix)), subnets_prefix(prefix), own=own)
    return await with_expiries(store, listing) if expiry or len(listing.rows) <= FEW else listing


def of_snapshot(snapshot: Snapshot, prefix: str, *, own: str | None) -> Listing:
    """The listing that a snapshot of the subnet keys holds, in the order of the subnets."""
    from flanpy.model.lease import Lease
    from flanpy.store.schema import decode_lease

    found = [decode_lease(item, prefix) for item in snapshot.items]
    leases = sorted((one for one in found if isinstance(one, Lease)), key=_order)
    return Listing(
        rows=tuple(row_of(lease, own=own) for lease in leases),
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
    from flanpy.model.lease import VxlanData

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


def own_node_id(host: Host) -> str | None:
    """This host's node id, None if it has none and cannot keep one."""
    from flanpy.host.node_id import node_id

    try:
        return node_id(host.settings.node_id, state_dir=host.settings.state_dir).text
    except HostError:
        return None
