"""`flanpyctl subnets export`: the cluster as a list of hosts, which `leases-from` takes in place of etcd."""

from __future__ import annotations

import sys
from argparse import Namespace

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.model.lease import InvalidLease, Lease
from flanpy.store.listed.document import read_list, write_list
from flanpy.store.port import Snapshot, Store
from flanpy.store.schema import config_key, decode_lease, subnets_prefix


def export(arguments: Namespace, host: Host) -> Exit:
    """Print the document. NOT_FOUND without a network config; what a list cannot say is named and left out."""
    prefix = host.effective.etcd.prefix

    async def read(store: Store) -> tuple[bytes | None, Snapshot]:
        config = await store.get(config_key(prefix))
        return None if config is None else config.value, await store.list(subnets_prefix(prefix))

    config, snapshot = with_etcd(host.effective, read)
    if config is None:
        raise CommandError(Exit.NOT_FOUND, f"there is no network config at {config_key(prefix)}")
    leases = []
    for item in snapshot.items:
        lease = decode_lease(item, subnets_prefix(prefix))
        if isinstance(lease, InvalidLease):
            _left_out(f"{lease.key}: {lease.reason}")
        elif lease.record.public_ip is None and lease.record.public_ip6 is None:
            _left_out(f"{lease.key}: a reservation of node {lease.record.node_id} without an address")
        else:
            leases.append(lease)
    text = write_list(config, _distinct(leases))
    read_list(text.encode())  # what is refused there must not be printed here
    print(text, end="")
    return Exit.OK


def _left_out(text: str) -> None:
    print(printable(f"left out {text}"), file=sys.stderr)


def _distinct(leases: list[Lease]) -> list[Lease]:
    """Return leases without reservations that hold an address of a lease: the host is listed by its lease."""
    held = {lease.record.public_ip for lease in leases if not lease.is_reservation}
    return [one for one in leases if not one.is_reservation or one.record.public_ip not in held]
