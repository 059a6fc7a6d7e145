"""The next writes of a host about its slices: a pure decision from the book. Must not write, or wait.

One host, one slice of each network. A slice stays its host's until the network goes, so there is no renewal: only the
first allocation, a new public address, and a slice too many after a write whose outcome was never heard.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from random import Random
from types import MappingProxyType

from flanpy.errors import LeaseError
from flanpy.model.address import IPAddress
from flanpy.model.lease import Lease, LeaseRecord, SubnetKey
from flanpy.model.networks.membership import is_member
from flanpy.model.networks.view import Joined, NamedView
from flanpy.store.networks.book import Book, Known
from flanpy.store.networks.keys import pool_of, slices_prefix
from flanpy.store.own.allocation import candidates, contested
from flanpy.store.own.overlap_guard import overlap_guard
from flanpy.store.port import DeleteKey, KeyValue, PutKey, Txn, key_absent, key_unchanged
from flanpy.store.schema import encode_record


@dataclass(frozen=True, slots=True)
class Wish:
    """The host that asks for slices: its record, and the slice that it had of a network, by the network's id.

    `called`: its labels and names, by which it is on a network or not. `drained`: it gives all slices back.
    """

    record: LeaseRecord
    previous: Mapping[str, IPv4Network]
    called: tuple[str, ...] = ()
    drained: bool = False


@dataclass(frozen=True, slots=True)
class Steps:
    """The transactions to run, and why a network has no slice for this host, by its name."""

    writes: tuple[Txn, ...] = ()
    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def next_steps(book: Book, wish: Wish, rng: Random) -> Steps:
    """Decide on the writes that bring this host's slices to what they should be."""
    writes: list[Txn] = [_again(kv) for kv in book.lost]
    refused: dict[str, str] = {}
    for name, known in book.known.items():
        try:
            writes += _of_network(book, known, wish, rng)
        except LeaseError as error:
            refused[name] = str(error)
    return Steps(tuple(writes), MappingProxyType(refused))


def _again(kv: KeyValue) -> Txn:
    """Write a key that etcd lost, unless somebody else was faster."""
    return Txn((key_absent(kv.key),), (PutKey(kv.key, kv.value),))


def _of_network(book: Book, known: Known, wish: Wish, rng: Random) -> Iterator[Txn]:
    held = known.held_by(wish.record.node_id)
    prefix = slices_prefix(book.prefix, known.network.name)
    if wish.drained or not is_member(known.network.hosts, wish.called):
        yield from (_given_back(book, f"{prefix}{lease.key}") for lease in held)
        return
    if not held:
        if known.key not in book.networks.lost:  # its definition comes first
            yield _first(book, known, wish, rng)
        return
    first, *more = held
    items = book.slices.items
    yield from (_given_back(book, f"{prefix}{lease.key}") for lease in more)
    if first.record != wish.record and items[f"{prefix}{first.key}"] not in book.slices.lost:
        key = f"{prefix}{first.key}"
        yield Txn((key_unchanged(items[key]),), (PutKey(key, encode_record(wish.record)),))


def _given_back(book: Book, key: str) -> Txn:
    return Txn((key_unchanged(book.slices.items[key]),), (DeleteKey(key),))


def _first(book: Book, known: Known, wish: Wish, rng: Random) -> Txn:
    """Take a free slice. The transaction fails if the network changed, or any slice that overlaps came, since."""
    network = known.network
    pool, prefix = pool_of(network), slices_prefix(book.prefix, network.name)
    had = wish.previous.get(network.id)
    previous = SubnetKey(had) if had is not None else None
    key = candidates(pool, known.slices, previous=previous, rng=rng)[0]
    guard = overlap_guard(prefix, key, pool, known.slices.revision)
    absent = key_absent(f"{prefix}{key}")
    return Txn(
        (key_unchanged(known.key), absent, *guard), (PutKey(f"{prefix}{key}", encode_record(wish.record)),)
    )


def joined(book: Book, node_id: str, called: tuple[str, ...] = ()) -> NamedView:
    """Return the networks that this host has a slice of, with the addresses of the others."""
    found = []
    for known in sorted(book.known.values(), key=lambda one: one.network.name):
        mine = known.held_by(node_id) if is_member(known.network.hosts, called) else ()
        if mine and (subnet := mine[0].key.subnet) is not None and not _is_contested(known, mine[0]):
            found.append(Joined(known.network, subnet, _members(known, node_id)))
    return NamedView(tuple(found), book.listed)


def _is_contested(known: Known, mine: Lease) -> bool:
    """Report whether an older slice of another host shares addresses with ours: then it is not ours to use."""
    pool = pool_of(known.network)
    return any(
        other.record.node_id != mine.record.node_id
        and other.create_revision < mine.create_revision
        and contested(pool, mine.key, other.key)
        for other in known.slices.leases.values()
    )


def _members(known: Known, node_id: str) -> tuple[IPAddress, ...]:
    found: set[IPAddress] = set()
    for lease in known.slices.leases.values():
        public = lease.record.public_ip or lease.record.public_ip6
        if lease.record.node_id != node_id and public is not None:
            found.add(public)
    return tuple(sorted(found, key=lambda one: (one.version, int(one))))
