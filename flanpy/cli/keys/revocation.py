"""`flanpyctl keys revoke` and `allow`: the list of hosts that are shut out, changed in etcd."""

from __future__ import annotations

import time
from argparse import Namespace

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.subnets.holding import Holdings
from flanpy.cli.subnets.rows import SubnetRow
from flanpy.model.lease import Lease
from flanpy.model.revocation import Revocation
from flanpy.store.port import DeleteKey, Operation, PutKey, Store, Txn, key_unchanged
from flanpy.store.revocations import decode_revocations, encode_revocation, revoked_key, revoked_prefix
from flanpy.store.schema import LONGEST_NODE_ID, decode_lease


def revoke(arguments: Namespace, host: Host) -> Exit:
    """Put a host on the list and delete its lease, in one transaction. NOT_FOUND, REFUSED or CONFLICT else."""
    prefix = host.effective.etcd.prefix

    async def run(store: Store) -> str:
        table = await Holdings.read(store, prefix, own=host.node_id)
        rows = _rows(table, arguments.node, force=arguments.force)
        one = _revocation(table, rows, arguments.node)
        seen = [table.seen(row.key) for row in rows]
        changes: tuple[Operation, ...] = (
            PutKey(revoked_key(prefix, one), encode_revocation(one)),
            *(DeleteKey(item.key) for item in seen),
        )
        if not (await store.txn(Txn(tuple(map(key_unchanged, seen)), changes))).succeeded:
            raise CommandError(
                Exit.CONFLICT, "its lease was changed by the host meanwhile: nothing was done, try again"
            )
        return one.name

    name = with_etcd(host.effective, run)
    print(printable(f"{name} is revoked: every host that hears etcd refuses it"))
    cure = f"flanpyctl keys allow {name}"
    print(printable(f"its right to write in etcd is another matter; to take it back: {cure}"))
    return Exit.OK


def _rows(table: Holdings, word: str, *, force: bool) -> list[SubnetRow]:
    """Return the leases of the one host that is meant. Raises CommandError where it may not be."""
    rows = [row for row in table.listing.rows if row.answers_to(word)]
    if len({(row.node_id, row.host) for row in rows}) > 1:
        names = ", ".join(sorted(row.host or row.name for row in rows))
        raise CommandError(Exit.CONFLICT, f"{word!r} names several hosts ({names}): give a node id")
    if any(row.own for row in rows) and not force:
        raise CommandError(
            Exit.REFUSED, "that is this host: drain takes it out; --force revokes it all the same"
        )
    if not rows and not force:
        raise CommandError(
            Exit.NOT_FOUND,
            f"no host {word!r} has a lease: see 'flanpyctl subnets'; --force takes it for a node id",
        )
    return rows


def _revocation(table: Holdings, rows: list[SubnetRow], word: str) -> Revocation:
    if not rows:
        if len(word) > LONGEST_NODE_ID or not word.isprintable():
            raise CommandError(Exit.NOT_FOUND, "that is no node id: printable, at most 253 characters")
        return Revocation(word, at=time.time())
    read = [decode_lease(table.seen(row.key), table.prefix) for row in rows]
    keys = [one.record.wireguard_key for one in read if isinstance(one, Lease)]
    found = Revocation(
        rows[0].node_id, tuple(sorted({key for key in keys if key})), rows[0].host, time.time()
    )
    if not found.node_id and not found.keys:
        raise CommandError(
            Exit.REFUSED,
            f"{rows[0].name} is a host of flannel without a key, which nothing tells from another:"
            " release its lease with flanpyctl subnets release",
        )
    return found


def allow(arguments: Namespace, host: Host) -> Exit:
    """Strike a host off the list. NOT_FOUND if it is not on it."""
    prefix = host.effective.etcd.prefix

    async def run(store: Store) -> str:
        known, _ = decode_revocations((await store.list(revoked_prefix(prefix))).items)
        found = [one for one in known if arguments.node in {one.name, one.node_id, one.host} - {""}]
        if not found:
            names = ", ".join(sorted(one.name for one in known)) or "nobody"
            raise CommandError(Exit.NOT_FOUND, f"{arguments.node!r} is not revoked; revoked: {names}")
        for one in found:
            await store.delete(revoked_key(prefix, one))
        return found[0].name

    print(printable(f"{with_etcd(host.effective, run)} may take part again"))
    return Exit.OK
