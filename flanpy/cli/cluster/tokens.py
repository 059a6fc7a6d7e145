"""`flanpyctl cluster token`: make, list and revoke what lets hosts join, on the store's host.

Owns the times and numbers of a token. The store keeps a digest of the secret; the token itself is printed once.
"""

from __future__ import annotations

import re
import time
from argparse import Namespace
from dataclasses import asdict
from typing import Any, Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import Table, print_as, print_json, print_table, printable
from flanpy.cli.base.wording import duration
from flanpy.cli.cluster import places
from flanpy.cli.cluster.places import Belonging
from flanpy.cluster import records, token
from flanpy.cluster.records import TOKENS, TokenRecord
from flanpy.errors import UsageError
from flanpy.store.port import DeleteKey, PutKey, Store, Txn, key_unchanged

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S: Final = 90 * 86_400
_MOST_USES: Final = 10_000


def create(arguments: Namespace, host: Host) -> Exit:
    """Print a new token."""
    lifetime = _seconds(arguments.lifetime)
    if not 1 <= arguments.uses <= _MOST_USES:
        raise UsageError(f"--uses {arguments.uses} is no number from 1 to {_MOST_USES}")
    places.need_root()
    fresh = made(host, places.need_store_host(), uses=arguments.uses, lifetime_s=lifetime)
    if arguments.output == "json":
        print_json({"id": fresh.id, "token": fresh.text(), "ends_in": lifetime, "uses": arguments.uses})
    else:
        print(fresh.text())
    return Exit.OK


def made(host: Host, part: Belonging, *, uses: int, lifetime_s: int) -> token.Token:
    """Make a token and its record; records of tokens that ended are swept."""
    fresh = token.fresh(part.joins, part.authority)
    now = int(time.time())
    record = TokenRecord(fresh.id, token.hashed(fresh.secret), now + lifetime_s, uses)

    async def write(store: Store) -> None:
        for item in (await store.list(TOKENS)).items:
            old = records.token_of(item.value)
            if old is not None and old.ends < now:
                await store.txn(Txn((key_unchanged(item),), (DeleteKey(item.key),)))
        await store.txn(Txn((), (PutKey(record.key, records.encoded(record)),)))

    with_etcd(places.as_operator(host.settings, part), write)
    return fresh


def listing(arguments: Namespace, host: Host) -> Exit:
    """Print the tokens, without their secrets."""
    places.need_root()
    settings = places.as_operator(host.settings, places.need_store_host())
    items = with_etcd(settings, lambda store: store.list(TOKENS)).items
    rows = [_row(record) for item in items if (record := records.token_of(item.value)) is not None]
    if arguments.output != "table":
        print_as(arguments.output, rows)
        return Exit.OK
    cells = tuple(
        (
            row["id"],
            duration(row["ends_in"]) if row["ends_in"] else "ended",
            f"{len(row['used'])} of {row['uses']}",
        )
        for row in rows
    )
    print_table(Table(("ID", "ENDS IN", "USED"), cells))
    return Exit.OK


def _row(record: TokenRecord) -> dict[str, Any]:
    document = asdict(record)
    del document["digest"]
    return {**document, "ends_in": max(0, record.ends - int(time.time())), "used": list(record.used)}


def revoke(arguments: Namespace, host: Host) -> Exit:
    """Delete a token's record: nobody joins by it any more, members stay. NOT_FOUND for an id that is not there."""
    places.need_root()
    settings = places.as_operator(host.settings, places.need_store_host())
    key = TOKENS + arguments.id

    async def drop(store: Store) -> bool:
        seen = await store.get(key)
        if seen is not None:
            await store.txn(Txn((), (DeleteKey(key),)))
        return seen is not None

    if not with_etcd(settings, drop):
        raise CommandError(Exit.NOT_FOUND, f"no token {arguments.id!r}: see 'flanpyctl cluster token list'")
    print(printable(f"token {arguments.id} is revoked"))
    return Exit.OK


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= seconds <= _LONGEST_S:
        raise UsageError(f"--for {text!r} is no time up to 90d: write 30m, 24h or 7d")
    return seconds
