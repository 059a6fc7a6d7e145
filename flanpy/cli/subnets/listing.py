"""The listing of subnets: from the daemon's socket, or from etcd.

Owns the choice between the two. Must not import asyncio or grpc: the daemon's answer needs neither.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING

from flanpy.cli.base.host import Host
from flanpy.cli.subnets.rows import Listing, listing_from_daemon
from flanpy.errors import ControlError

if TYPE_CHECKING:
    from flanpy.store.port import LeaseStore, Store


def asks_etcd(arguments: Namespace, host: Host) -> bool:
    """Report whether the command line names etcd as the source."""
    return bool(arguments.etcd) or host.etcd_named


def current(arguments: Namespace, host: Host, *, expiry: bool) -> Listing:
    """All subnets now. The daemon's answer if there is one, with expiries from etcd if `expiry`."""
    listing = daemons_listing(arguments, host)
    if listing is None:
        return _from_etcd(host, expiry=expiry)
    return _with_expiries(host, listing) if expiry and not listing.has_expiry else listing


def daemons_listing(arguments: Namespace, host: Host) -> Listing | None:
    """Return the local daemon's listing; None if it does not answer or must not be asked: etcd has the data as well."""
    if asks_etcd(arguments, host):
        return None
    try:
        return listing_from_daemon(host.control.get("subnets"))
    except ControlError:
        return None


def _with_expiries(host: Host, listing: Listing) -> Listing:
    from flanpy.cli.base.etcd import with_etcd
    from flanpy.cli.subnets.etcd_listing import with_expiries

    async def ask(store: LeaseStore) -> Listing:
        return await with_expiries(store, listing)

    return with_etcd(host.effective, ask)


def _from_etcd(host: Host, *, expiry: bool) -> Listing:
    from flanpy.cli.base.etcd import with_etcd
    from flanpy.cli.subnets.etcd_listing import listed

    async def ask(store: Store) -> Listing:
        return await listed(store, host.effective.etcd.prefix, own=host.node_id, expiry=expiry)

    return with_etcd(host.effective, ask)
