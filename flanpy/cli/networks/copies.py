"""`flanpyctl networks export` and `import`: definitions and slices as one JSON document.

Owns the document. An import replaces nothing: it adds what etcd does not have, all in one transaction, or nothing.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from flanpy.backend.bridged import vxlan_options
from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.exits import CommandError, Exit
from flanpy.cli.base.host import Host
from flanpy.cli.base.output import printable
from flanpy.cli.base.wording import plural
from flanpy.cli.networks.networks import read_book
from flanpy.errors import MALFORMED, ConfigError
from flanpy.model.lease import InvalidLease
from flanpy.model.network.config import parse_network_config
from flanpy.model.networks.definition import (
    NamedNetwork,
    definition_fields,
    parse_definition,
    render_definition,
)
from flanpy.model.quoting import quoted
from flanpy.plan.networks import flat_ranges, refuse_taken
from flanpy.store.networks.book import Book
from flanpy.store.networks.keys import network_key, slices_prefix
from flanpy.store.port import Compare, KeyStore, KeyValue, PutKey, Txn, key_absent, key_unchanged
from flanpy.store.schema import config_key, decode_lease

_LARGEST: Final = 16 << 20
_AT_ONCE: Final = 60
"""Keys of one transaction; etcd takes 128 operations."""


def export(arguments: Namespace, host: Host) -> Exit:
    """Print every definition with its slices."""
    prefix = host.effective.etcd.prefix
    book = with_etcd(host.effective, lambda store: read_book(store, prefix))
    for reason in book.invalid.values():
        print(printable(f"warning: {reason}; it is left out"), file=sys.stderr)
    print(json.dumps({"Networks": [_document(book, name) for name in sorted(book.known)]}, indent=1))
    return Exit.OK


def _document(book: Book, name: str) -> dict[str, Any]:
    prefix = slices_prefix(book.prefix, name)
    slices = {
        key.removeprefix(prefix): json.loads(kv.value)
        for key, kv in sorted(book.slices.items.items())
        if key.startswith(prefix) and key.removeprefix(prefix) in book.known[name].slices.leases
    }
    return {"Name": name, **definition_fields(book.known[name].network), "Slices": slices}


def import_(arguments: Namespace, host: Host) -> Exit:
    """Write what is missing; CONFLICT if a network is there with another definition."""
    keys = tuple(_read(arguments.file))
    prefix = host.effective.etcd.prefix
    written = with_etcd(host.effective, lambda store: write_missing(store, prefix, keys))
    print(f"wrote {plural(written, 'key')}; etcd had the others")
    return Exit.OK


Imported = tuple[NamedNetwork, Mapping[str, bytes]]
"""A network, and the values of its slices by key text."""


def _read(file: str) -> Iterator[Imported]:
    """Read the document. Raises ConfigError of one line."""
    try:
        text = sys.stdin.buffer.read(_LARGEST) if file == "-" else Path(file).read_bytes()[:_LARGEST]
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    try:
        for one in json.loads(text)["Networks"]:
            slices = {
                str(key): json.dumps(value, separators=(",", ":")).encode()
                for key, value in one["Slices"].items()
            }
            network = parse_definition(str(one["Name"]), json.dumps(one).encode())
            yield network, slices
    except MALFORMED as error:
        raise ConfigError(
            f"{file} is no output of 'flanpyctl networks export': {quoted(str(error))}"
        ) from error


async def write_missing(store: KeyStore, prefix: str, imported: tuple[Imported, ...]) -> int:
    """Write the keys that etcd does not have; return their number. Raises CommandError, ConfigError."""
    flat = await store.get(config_key(prefix))
    if flat is None:
        raise CommandError(
            Exit.NOT_FOUND,
            f"no network config under {config_key(prefix)}: make one with 'flanpyctl network init'",
        )
    book = await read_book(store, prefix)
    _refuse(book, flat, imported)
    missing = [
        (key, value)
        for network, slices in imported
        for key, value in _keys(prefix, network, slices)
        if key not in book.networks.items and key not in book.slices.items
    ]
    written = 0
    for start in range(0, len(missing), _AT_ONCE):
        part = missing[start : start + _AT_ONCE]
        guards: tuple[Compare, ...] = (key_unchanged(flat), *(key_absent(key) for key, _ in part))
        if not (await store.txn(Txn(guards, tuple(PutKey(key, value) for key, value in part)))).succeeded:
            raise CommandError(
                Exit.CONFLICT, f"etcd was changed meanwhile after {plural(written, 'key')}: try again"
            )
        written += len(part)
    return written


def _keys(prefix: str, network: NamedNetwork, slices: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    yield network_key(prefix, network.name), render_definition(network)
    yield from ((f"{slices_prefix(prefix, network.name)}{key}", value) for key, value in slices.items())


def _refuse(book: Book, flat: KeyValue, imported: tuple[Imported, ...]) -> None:
    """Raise for what is there in another shape, and for slices that are none."""
    config = parse_network_config(flat.value)
    options = vxlan_options(config)
    others = [known.network for known in book.known.values()]
    for network, slices in imported:
        there = book.known.get(network.name)
        if there is not None and replace(there.network, hosts=network.hosts) != network:
            raise CommandError(
                Exit.CONFLICT,
                f"there is another network '{network.name}': remove it first, or import without it",
            )
        refuse_taken(network, others, (flat_ranges(config), options.vni if options is not None else 0))
        others.append(network)
        for key, value in slices.items():
            found = decode_lease(KeyValue(key, value, 1, 1, 1, 0), "")
            if isinstance(found, InvalidLease) or found.key.subnet is None:
                raise ConfigError(f"slice {quoted(key)} of network '{network.name}' cannot be read")
            if found.key.subnet.prefixlen != network.slice_len or not found.key.subnet.subnet_of(
                network.subnet
            ):
                raise ConfigError(f"slice {found.key.subnet} is none of network '{network.name}'")
