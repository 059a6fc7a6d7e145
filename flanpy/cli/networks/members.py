"""`flanpyctl networks attach`, `leave` and `forget`: which hosts are on a network.

Owns the change of a definition's list of hosts, by which each host decides for itself. Every write is guarded by what
was read.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.base.wording import plural
from flanpy.cli.networks.networks import read_book
from flanpy.cli.subnets.etcd_listing import of_snapshot
from flanpy.cli.subnets.rows import SubnetRow
from flanpy.cli.subnets.subnets import found
from flanpy.model.networks.definition import render_definition
from flanpy.model.networks.membership import attached, left
from flanpy.store.networks.book import Book, Known
from flanpy.store.networks.keys import slices_prefix
from flanpy.store.port import DeleteKey, KeyStore, PutKey, Txn, key_unchanged
from flanpy.store.schema import subnets_prefix

_TRIES: Final = 8
"""Writes of others at the same moment that one change outlasts."""

Change = Callable[[Iterable[str], Iterable[str]], tuple[str, ...]]


def attach(arguments: Namespace, host: Host) -> Exit:
    """Put a host on a network; NOT_FOUND if there is no such network or host."""
    changed, name = _change(arguments, host, attached)
    said = "is put on" if changed else "is on"
    more = "" if changed else " already"
    print(printable(f"host '{name}' {said} network '{arguments.name}'{more}"))
    return Exit.OK


def leave(arguments: Namespace, host: Host) -> Exit:
    """Take a host from a network; NOT_FOUND if there is no such network or host."""
    changed, name = _change(arguments, host, left)
    if changed:
        text = (
            f"host '{name}' leaves network '{arguments.name}'; Docker's goes once no container there has it"
        )
    else:
        text = f"host '{name}' has left network '{arguments.name}' already"
    print(printable(text))
    return Exit.OK


def _change(arguments: Namespace, host: Host, change: Change) -> tuple[bool, str]:
    prefix, own = host.effective.etcd.prefix, host.node_id

    async def run(store: KeyStore) -> tuple[bool, str]:
        names = await _called(store, prefix, arguments.host, own)
        return await rewrite(store, prefix, arguments.name, names, change), names[0]

    return with_etcd(host.effective, run)


async def rewrite(store: KeyStore, prefix: str, name: str, names: tuple[str, ...], change: Change) -> bool:
    """Change a definition's list of hosts; False if it says so already. Raises CommandError."""
    for _ in range(_TRIES):
        book = await read_book(store, prefix)
        known = _known(book, name)
        hosts = change(known.network.hosts, names)
        if hosts == known.network.hosts:
            return False
        value = render_definition(replace(known.network, hosts=hosts))
        if (await store.txn(Txn((key_unchanged(known.key),), (PutKey(known.key.key, value),)))).succeeded:
            return True
    raise CommandError(Exit.CONFLICT, "others change this network at this very moment: try again")


def _known(book: Book, name: str) -> Known:
    if name in book.invalid:
        raise CommandError(Exit.FAILURE, printable(book.invalid[name]))
    if name not in book.known:
        raise CommandError(
            Exit.NOT_FOUND, printable(f"there is no network '{name}': see 'flanpyctl networks', or create it")
        )
    return book.known[name]


async def _called(store: KeyStore, prefix: str, word: str, own: str | None) -> tuple[str, ...]:
    """Return the names of one host, its node id last. Raises CommandError if no lease has it."""
    subnets = subnets_prefix(prefix)
    listing = of_snapshot(await store.list(subnets), subnets, own=own)
    if not word:
        mine = [row for row in listing.rows if row.own]
        if not mine and own is None:
            raise CommandError(Exit.NOT_FOUND, "this host has no node id yet: name one, or start flanpyd")
        return _names(mine[0]) if mine else (str(own),)
    return _names(found(listing, word))


def _names(row: SubnetRow) -> tuple[str, ...]:
    if not row.node_id:
        raise CommandError(
            Exit.REFUSED, printable(f"host '{row.name}' is a flannel host, which no named network takes")
        )
    return tuple(dict.fromkeys(filter(None, (row.host, row.node_id))))


def forget(arguments: Namespace, host: Host) -> Exit:
    """Free the slices of a host; NOT_FOUND if it has none, REFUSED while it holds a lease, unless --force."""
    prefix = host.effective.etcd.prefix
    freed = with_etcd(
        host.effective, lambda store: free(store, prefix, arguments.node, force=arguments.force)
    )
    print(printable(f"freed {plural(len(freed), 'slice')} of '{arguments.node}': {', '.join(freed)}"))
    return Exit.OK


async def free(store: KeyStore, prefix: str, node: str, *, force: bool) -> tuple[str, ...]:
    """Delete all slices of a host and return them, each with its network. Raises CommandError."""
    book = await read_book(store, prefix)
    owners = {
        lease.record.node_id
        for known in book.known.values()
        for lease in known.slices.leases.values()
        if node in {lease.record.node_id, lease.record.host_name}
    }
    if not owners:
        raise CommandError(
            Exit.NOT_FOUND, printable(f"'{node}' has no slice of any network: see 'flanpyctl networks show'")
        )
    if len(owners) > 1:
        ids = ", ".join(sorted(owners))
        raise CommandError(
            Exit.CONFLICT, printable(f"'{node}' names {len(owners)} hosts ({ids}): give one of them")
        )
    (owner,) = owners
    if not force:
        await _refuse_alive(store, prefix, node, owner)
    return await _free_all(store, prefix, book, owner)


async def _refuse_alive(store: KeyStore, prefix: str, node: str, owner: str) -> None:
    subnets = subnets_prefix(prefix)
    rows = of_snapshot(await store.list(subnets), subnets, own=None).rows
    if any(row.node_id == owner and not row.reservation for row in rows):
        raise CommandError(
            Exit.REFUSED,
            printable(
                f"'{node}' holds a lease, so it is no host that is gone: to take it from a network say"
                f" 'flanpyctl networks leave NAME {node}'; --force frees its slices all the same"
            ),
        )


async def _free_all(store: KeyStore, prefix: str, book: Book, owner: str) -> tuple[str, ...]:
    freed = []
    for name, known in sorted(book.known.items()):
        for lease in known.held_by(owner):
            key = f"{slices_prefix(prefix, name)}{lease.key}"
            done = await store.txn(Txn((key_unchanged(book.slices.items[key]),), (DeleteKey(key),)))
            if not done.succeeded:
                raise CommandError(
                    Exit.CONFLICT, printable(f"{key} was changed by its host meanwhile: look, then try again")
                )
            freed.append(f"{lease.key.subnet} of {name}")
    return tuple(freed)
