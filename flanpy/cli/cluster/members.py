"""`flanpyctl cluster members`: the hosts of the cluster, each with its subnet."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_table
from flanpy.cli.base.wording import duration
from flanpy.cli.cluster import places
from flanpy.cli.subnets.etcd_listing import of_snapshot
from flanpy.cluster import records
from flanpy.cluster.records import MEMBERS, Member
from flanpy.store.port import Store
from flanpy.store.schema import subnets_prefix


def members(arguments: Namespace, host: Host) -> Exit:
    """Print the members."""
    places.need_root()
    part = places.need_member()
    settings = places.as_member(host.settings, part)
    prefix = subnets_prefix(settings.etcd.prefix)

    async def read(store: Store) -> list[dict[str, Any]]:
        listed = await everyone(store)
        leases = of_snapshot(await store.list(prefix), prefix, own=host.node_id)
        subnets = {row.node_id: row.name for row in leases.rows if row.node_id}
        return [_row(member, subnets.get(member.node_id, "")) for member in listed]

    rows = sorted(with_etcd(settings, read), key=lambda row: str(row["name"]))
    if arguments.output != "table":
        print_as(arguments.output, rows)
        return Exit.OK
    cells = tuple(
        (
            row["name"],
            row["address"],
            row["subnet"],
            row["id"],
            duration(max(0, int(time.time()) - row["joined"])),
        )
        for row in rows
    )
    print_table(Table(("NAME", "ADDRESS", "SUBNET", "MEMBER", "FOR"), cells))
    return Exit.OK


async def everyone(store: Store) -> list[Member]:
    """Return the members whose records can be read."""
    items = (await store.list(MEMBERS)).items
    return [member for item in items if (member := records.member_of(item.value)) is not None]


def _row(member: Member, subnet: str) -> dict[str, Any]:
    return {
        "name": member.name,
        "address": member.address,
        "subnet": subnet,
        "id": member.id,
        "node_id": member.node_id,
        "joined": member.joined,
    }
