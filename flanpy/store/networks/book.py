"""Definitions and slices as last heard from etcd: a pure fold of the news from their two watches.

Owns what a listing, a change and a lost etcd mean for named networks. Unreadable keys are counted, and a slice's range
stays taken whatever its value is. An etcd that lost data (wiped, restored) takes nothing away: what it does not know
any more is `lost`, to be written again. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flanpy.errors import ConfigError
from flanpy.model.lease import InvalidLease, Lease, LeaseView
from flanpy.model.networks.definition import NamedNetwork, parse_definition
from flanpy.model.quoting import quoted
from flanpy.store.lease_view import REWRITTEN
from flanpy.store.networks.keys import networks_prefix, slices_prefix
from flanpy.store.port import Delta, KeyValue, News, Snapshot
from flanpy.store.schema import decode_lease


@dataclass(frozen=True, slots=True)
class Kept:
    """The keys of one watch. `lost` are those that an etcd without its past does not have any more, until it has them
    again: a further listing before they are written takes nothing away."""

    items: Mapping[str, KeyValue] = field(default_factory=lambda: MappingProxyType({}))
    revision: int = 0
    listed: bool = False
    lost: tuple[KeyValue, ...] = ()

    def after(self, news: News) -> Kept:
        """Return the keys after the news; a lost etcd takes nothing away."""
        match news:
            case Snapshot(items, revision):
                found = {kv.key: kv for kv in items}
                before = self.items.values() if self.is_rewound(news) else self.lost
                lost = tuple(kv for kv in before if kv.key not in found)
                return Kept(MappingProxyType({**{kv.key: kv for kv in lost}, **found}), revision, True, lost)
            case Delta(puts, deletes, revision):
                gone = {one.key for one in deletes}
                new = {kv.key: kv for kv in puts}
                kept = {key: kv for key, kv in self.items.items() if key not in gone}
                lost = tuple(kv for kv in self.lost if kv.key not in new.keys() | gone)
                return Kept(MappingProxyType({**kept, **new}), revision, self.listed, lost)
            case _:
                return replace(self, revision=max(self.revision, getattr(news, "revision", 0)))

    def is_rewound(self, news: News) -> bool:
        """Report whether news is a listing of an etcd without the past that is known: its revisions begin again."""
        return (
            isinstance(news, Snapshot)
            and self.listed
            and (news.reason in REWRITTEN or news.revision < self.revision)
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A network with the key that defines it, and its slices as leases by key text."""

    network: NamedNetwork
    key: KeyValue
    slices: LeaseView

    def held_by(self, node_id: str) -> tuple[Lease, ...]:
        """Return the slices of a host, the oldest first; more than one only after a write of unknown outcome."""
        found = (one for one in self.slices.leases.values() if one.record.node_id == node_id)
        return tuple(sorted(found, key=lambda one: (one.create_revision, str(one.key))))


@dataclass(frozen=True, slots=True)
class Book:
    """Everything known of named networks. Changes only by `networks_news` and `slices_news`."""

    prefix: str
    networks: Kept = field(default_factory=Kept)
    slices: Kept = field(default_factory=Kept)
    known: Mapping[str, Known] = field(default_factory=lambda: MappingProxyType({}))
    invalid: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def listed(self) -> bool:
        """Report whether both kinds of keys were listed since start."""
        return self.networks.listed and self.slices.listed

    @property
    def lost(self) -> tuple[KeyValue, ...]:
        """Return the keys to write again, definitions first."""
        return (*self.networks.lost, *self.slices.lost)

    def networks_news(self, news: News) -> Book:
        """Return the book after news of definitions."""
        return _read(replace(self, networks=self.networks.after(news)), self)

    def slices_news(self, news: News) -> Book:
        """Return the book after news of slices."""
        return _read(replace(self, slices=self.slices.after(news)), self)


def _read(book: Book, before: Book) -> Book:
    """Read what changed; networks whose keys are the same objects keep their reading."""
    known: dict[str, Known] = {}
    invalid: dict[str, str] = {}
    below = _by_network(book)
    for key, kv in book.networks.items.items():
        name = key.removeprefix(networks_prefix(book.prefix))
        try:
            network = _definition(name, kv, before)
        except ConfigError as error:
            invalid[name] = f"network {quoted(name)}: {error}"
            continue
        known[name] = Known(network, kv, _slices(book, name, below.get(name, ()), before))
    return replace(book, known=MappingProxyType(known), invalid=MappingProxyType(invalid))


def _definition(name: str, kv: KeyValue, before: Book) -> NamedNetwork:
    known = before.known.get(name)
    return known.network if known is not None and known.key == kv else parse_definition(name, kv.value)


def _by_network(book: Book) -> Mapping[str, tuple[KeyValue, ...]]:
    found: dict[str, list[KeyValue]] = {}
    prefix = slices_prefix(book.prefix)
    for key, kv in book.slices.items.items():
        found.setdefault(key.removeprefix(prefix).partition("/")[0], []).append(kv)
    return {name: tuple(items) for name, items in found.items()}


def _slices(book: Book, name: str, items: Iterable[KeyValue], before: Book) -> LeaseView:
    prefix = slices_prefix(book.prefix, name)
    known = before.known.get(name)
    old = known.slices.leases if known is not None else {}
    leases: dict[str, Lease] = {}
    invalid: list[InvalidLease] = []
    for kv in items:
        text = kv.key.removeprefix(prefix)
        standing = old.get(text)
        if standing is not None and standing.mod_revision == kv.mod_revision:
            leases[text] = standing
            continue
        found = decode_lease(kv, prefix)
        if isinstance(found, Lease):
            leases[text] = found
        else:
            invalid.append(found)
    return LeaseView(
        leases=MappingProxyType(leases),
        invalid=tuple(invalid),
        revision=book.slices.revision,
        listings=1,
        stale=False,
    )
