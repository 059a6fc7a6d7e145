"""`flanpyctl cluster remove`: strike a host off the list of members; its certificate counts no more."""

from __future__ import annotations

from argparse import Namespace

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.cluster import places
from flanpy.cli.cluster.members import everyone
from flanpy.cli.subnets.holding import Holdings
from flanpy.cluster.records import Member
from flanpy.store.port import DeleteKey, Store, Txn


def remove(arguments: Namespace, host: Host) -> Exit:
    """Delete a member's record, then its lease. NOT_FOUND for a name that no member or more than one has."""
    places.need_root()
    part = places.need_store_host()
    settings = places.as_operator(host.settings, part)

    async def run(store: Store) -> list[str]:
        member = _found(await everyone(store), arguments.node)
        if member.name == part.name:
            raise CommandError(
                Exit.REFUSED,
                f"{member.name} is this host, whose store the others meet at: it cannot be removed",
            )
        await store.txn(Txn((), (DeleteKey(member.key),)))
        table = await Holdings.read(store, settings.etcd.prefix, own=None)
        rows = [row for row in table.listing.rows if member.node_id and row.node_id == member.node_id]
        for row in rows:
            await table.write(table.seen(row.key), DeleteKey(table.prefix + row.key))
        return [f"{member.name} is no member any more", *(f"{row.name} is released" for row in rows)]

    for line in with_etcd(settings, run):
        print(printable(line))
    return Exit.OK


def _found(members: list[Member], word: str) -> Member:
    found = [one for one in members if word in {one.name, one.id, one.address, one.node_id}]
    if len(found) != 1:
        known = ", ".join(sorted(one.name for one in members)) or "none"
        raise CommandError(
            Exit.NOT_FOUND,
            f"{len(found) or 'no'} members are called {word!r}: there are {known}; see 'flanpyctl cluster members'",
        )
    return found[0]
