"""`flanpyctl networks link` and `unlink`: two named networks that may talk, or no more.

Owns the transaction by which a link is written into a definition: it fails if either network changed or went since they
were read.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Final

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.networks.networks import read_book
from flanpy.errors import ConfigError, UsageError
from flanpy.model.networks.definition import NamedNetwork, render_definition
from flanpy.model.networks.links import LinkPort, NetworkLink, parse_ports
from flanpy.store.networks.book import Book, Known
from flanpy.store.port import KeyStore, PutKey, Txn, key_unchanged

_TRIES: Final = 8
"""Changes of the same networks at the same moment that one command outlasts."""

Pair = tuple[Known, Known]


def link(arguments: Namespace, host: Host) -> Exit:
    """Let two networks talk. NOT_FOUND for one that is not there, CONFLICT for two that are linked."""
    names = _two(arguments)
    try:
        ports = parse_ports(arguments.port or ())
    except ConfigError as error:
        raise UsageError(f"--port: {error}") from error
    prefix = host.effective.etcd.prefix
    with_etcd(host.effective, lambda store: write_link(store, prefix, names, ports))
    by = f" by {', '.join(map(str, ports))}" if ports else ""
    print(printable(f"networks '{names[0]}' and '{names[1]}' may talk{by}, on every host that is on both"))
    return Exit.OK


def unlink(arguments: Namespace, host: Host) -> Exit:
    """Keep two networks apart again. NOT_FOUND if they are not linked."""
    names = _two(arguments)
    prefix = host.effective.etcd.prefix
    with_etcd(host.effective, lambda store: remove_link(store, prefix, names))
    print(printable(f"networks '{names[0]}' and '{names[1]}' are apart"))
    return Exit.OK


async def write_link(
    store: KeyStore, prefix: str, names: tuple[str, str], ports: tuple[LinkPort, ...]
) -> None:
    """Write the link into the first definition. Raises CommandError."""
    for _ in range(_TRIES):
        book = await read_book(store, prefix)
        first, second = _pair(book, names)
        for one in (first, second):
            if one.network.internal:
                raise CommandError(
                    Exit.REFUSED,
                    printable(
                        f"network '{one.network.name}' is internal: it reaches nothing outside, linked or not"
                    ),
                )
        if ids_linked(first.network, second.network):
            raise CommandError(
                Exit.CONFLICT,
                printable(
                    f"networks '{names[0]}' and '{names[1]}' are linked already: flanpyctl networks unlink first"
                ),
            )
        kept = _living(first.network, book)
        new = replace(first.network, links=(*kept, NetworkLink(second.network.id, ports)))
        if await _written(store, (first, second), new, second.network):
            return
    raise _busy()


async def remove_link(store: KeyStore, prefix: str, names: tuple[str, str]) -> None:
    """Take the link out of both definitions. Raises CommandError."""
    for _ in range(_TRIES):
        book = await read_book(store, prefix)
        first, second = _pair(book, names)
        if not ids_linked(first.network, second.network):
            raise CommandError(
                Exit.NOT_FOUND, printable(f"networks '{names[0]}' and '{names[1]}' are not linked")
            )
        news = [
            replace(
                one.network,
                links=tuple(link for link in _living(one.network, book) if link.id != other.network.id),
            )
            for one, other in ((first, second), (second, first))
        ]
        if await _written(store, (first, second), *news):
            return
    raise _busy()


def ids_linked(one: NamedNetwork, other: NamedNetwork) -> bool:
    """Report whether either definition names the other network."""
    return any(link.id == other.id for link in one.links) or any(link.id == one.id for link in other.links)


async def _written(store: KeyStore, pair: Pair, first: NamedNetwork, second: NamedNetwork) -> bool:
    """Write what changed of the two; False if either is not as it was read."""
    guard = tuple(key_unchanged(known.key) for known in pair)
    puts = tuple(
        PutKey(known.key.key, render_definition(new))
        for known, new in zip(pair, (first, second), strict=True)
        if new != known.network
    )
    return (await store.txn(Txn(guard, puts))).succeeded


def _pair(book: Book, names: tuple[str, str]) -> Pair:
    for name in names:
        if name in book.invalid:
            raise CommandError(Exit.FAILURE, printable(book.invalid[name]))
        if name not in book.known:
            raise CommandError(
                Exit.NOT_FOUND,
                printable(f"there is no network '{name}': see 'flanpyctl networks', or create it"),
            )
    first, second = (book.known[name] for name in sorted(names))
    return first, second


def _living(network: NamedNetwork, book: Book) -> tuple[NetworkLink, ...]:
    """Return the links with networks that there are."""
    ids = {known.network.id for known in book.known.values()}
    return tuple(link for link in network.links if link.id in ids)


def _two(arguments: Namespace) -> tuple[str, str]:
    if arguments.first == arguments.second:
        raise UsageError(f"network {arguments.first!r} cannot be linked with itself: name two")
    return arguments.first, arguments.second


def _busy() -> CommandError:
    return CommandError(Exit.CONFLICT, "these networks are changed at this very moment: try again")
