"""`flanpyctl networks`, `ls` and `show`: the named networks as etcd has them.

Owns the columns and the keys of the JSON. Must not change anything.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.names import FoundNames, list_names
from flanpy.cli.base.output import Table, print_as, print_table, printable
from flanpy.cli.base.wording import natural, yes
from flanpy.model.lease import Lease
from flanpy.store.networks.book import Book, Known
from flanpy.store.networks.keys import networks_prefix, pool_of, slices_prefix
from flanpy.store.own.allocation import usage
from flanpy.store.port import KeyStore


def ls(arguments: Namespace, host: Host) -> Exit:
    """List all networks; a definition that cannot be read is named on standard error."""
    prefix = host.effective.etcd.prefix
    book = with_etcd(host.effective, lambda store: read_book(store, prefix))
    for reason in book.invalid.values():
        print(printable(f"warning: {reason}; remove it with flanpyctl networks rm"), file=sys.stderr)
    rows = [row(known) for _, known in sorted(book.known.items(), key=lambda item: natural(item[0]))]
    if arguments.output == "table":
        print_table(_table(rows))
    else:
        print_as(arguments.output, rows)
    return Exit.OK


def show(arguments: Namespace, host: Host) -> Exit:
    """Print one network with its slices; NOT_FOUND if there is none."""
    prefix, name = host.effective.etcd.prefix, arguments.name
    book, names = with_etcd(host.effective, lambda store: _read(store, prefix, name))
    if name in book.invalid:
        raise CommandError(Exit.FAILURE, printable(book.invalid[name]))
    if name not in book.known:
        raise CommandError(
            Exit.NOT_FOUND, printable(f"there is no network '{name}': see 'flanpyctl networks', or create it")
        )
    known = book.known[name]
    if arguments.output != "table":
        containers = [{"name": one.box.name, **one.document()} for one in names.containers]
        more = {"links": _links(known, book), "slices": _slices(known, names), "containers": containers}
        print_as(arguments.output, {**row(known), **more})
        return Exit.OK
    _print_text(book, known, names)
    return Exit.OK


def _print_text(book: Book, known: Known, names: FoundNames) -> None:
    for line in names.unread:
        print(printable(f"warning: {line}"), file=sys.stderr)
    for title, value in row(known).items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        if text:
            print(printable(f"{title:<12}{text}"))
    for other in _links(known, book):
        by = f" by {', '.join(other['ports'])}" if other["ports"] else ""
        print(printable(f"{'linked':<12}{other['network']}{by}"))
    print()
    print_table(_slices_table(known, _slices(known, names)))
    if names.containers:
        print()
        print_table(_containers_table(names))


async def _read(store: KeyStore, prefix: str, name: str) -> tuple[Book, FoundNames]:
    return await read_book(store, prefix), await list_names(store, prefix, name)


async def read_book(store: KeyStore, prefix: str) -> Book:
    """Read definitions and slices. Raises StoreError."""
    book = Book(prefix).networks_news(await store.list(networks_prefix(prefix)))
    return book.slices_news(await store.list(slices_prefix(prefix)))


def row(known: Known) -> dict[str, Any]:
    """Return a network as `networks -o json` has it. `free` is the number of slices that no host has."""
    network = known.network
    used, _ = usage(pool_of(network), known.slices)
    return {
        "name": network.name,
        "subnet": str(network.subnet),
        "slice_len": network.slice_len,
        "vni": network.vni,
        "mtu": network.mtu,
        "port": network.port,
        "internal": network.internal,
        "hosts": len(known.slices.leases),
        "free": used.free if used is not None else 0,
        "id": network.id,
        "created": network.created,
        "ipv6_subnet": str(network.subnet6 or ""),
        "only_hosts": list(network.hosts),
    }


def _links(known: Known, book: Book) -> list[dict[str, Any]]:
    """Return the networks that this one may talk with, whichever of the two definitions says so."""
    found: dict[str, list[str]] = {}
    for name, other in book.known.items():
        for one, to in ((known, other), (other, known)):
            for link in one.network.links:
                if link.id == to.network.id and one is not to:
                    found[name] = [str(port) for port in link.ports]
    return [{"network": name, "ports": ports} for name, ports in sorted(found.items())]


def _slices(known: Known, names: FoundNames) -> list[dict[str, Any]]:
    """Return the slices in order; `containers` is null where the host tells nobody of them."""
    told = {one.node_id: len(one.containers) for one in names.told}
    found = [
        {
            "slice": str(lease.key.subnet),
            "ipv6_slice": _slice6(known, lease),
            "node_id": lease.record.node_id,
            "host": lease.record.host_name,
            "public_ip": str(lease.record.public_ip or lease.record.public_ip6 or ""),
            "containers": told.get(lease.record.node_id),
            "addresses": known.network.room(lease.key.subnet) if lease.key.subnet is not None else 0,
        }
        for lease in known.slices.leases.values()
    ]
    return sorted(found, key=lambda one: natural(one["slice"]))


def _slices_table(known: Known, slices: list[dict[str, Any]]) -> Table:
    six = known.network.subnet6 is not None
    titles = ("SLICE", *(("IPV6 SLICE",) if six else ()), "NODE", "HOST", "PUBLIC IP", "CONTAINERS")
    keys = ("slice", *(("ipv6_slice",) if six else ()), "node_id", "host", "public_ip")
    cells = (
        (
            *(one[key] for key in keys),
            "-" if one["containers"] is None else f"{one['containers']} of {one['addresses']}",
        )
        for one in slices
    )
    return Table(titles, tuple(cells))


def _containers_table(names: FoundNames) -> Table:
    cells = (
        (one.box.name, ", ".join(map(str, one.box.addresses)), one.told.host, ", ".join(one.box.aliases))
        for one in names.containers
    )
    return Table(("CONTAINER", "ADDRESSES", "HOST", "ALIASES"), tuple(cells))


def _slice6(known: Known, lease: Lease) -> str:
    return str((lease.key.subnet and known.network.slice6(lease.key.subnet)) or "")


def _table(rows: list[dict[str, Any]]) -> Table:
    titles = ("NAME", "SUBNET", "SLICE", "VNI", "MTU", "INTERNAL", "HOSTS", "FREE")
    cells = (
        (
            one["name"],
            one["subnet"],
            f"/{one['slice_len']}",
            str(one["vni"]),
            str(one["mtu"]),
            yes(one["internal"]),
            str(one["hosts"]),
            str(one["free"]),
        )
        for one in rows
    )
    return Table(titles, tuple(cells))
