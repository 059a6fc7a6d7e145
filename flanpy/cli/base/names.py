"""Names of containers as etcd has them, for commands: all records, and who is called by a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.host import Host
from flanpy.errors import ConfigError
from flanpy.model.networks.names import FLAT, ZONE, NamedContainer, ToldNames
from flanpy.names.records import decode_names, names_prefix, read_key
from flanpy.store.port import KeyStore, KeyValue


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container on one network of one host."""

    told: ToldNames
    box: NamedContainer

    @property
    def network(self) -> str:
        """Return the network's name, "" for the flat overlay."""
        return "" if self.told.network == FLAT else self.told.network

    def is_called(self, asked: str) -> bool:
        """Report whether somebody who is on the network, or at this keyboard, may mean it by the word."""
        word = asked.lower().rstrip(".").removesuffix(f".{ZONE}")
        places = (self.told.network,) if self.network else (self.told.host, self.told.host.partition(".")[0])
        ends = ("", *(f".{place.lower()}" for place in places if place))
        return any(word == name.lower() + end for name in self.box.names for end in ends)


def read_names(host: Host) -> tuple[tuple[FoundContainer, ...], tuple[str, ...]]:
    """Return all containers in order, and one line for each record that cannot be read. Raises StoreError."""
    prefix = host.effective.etcd.prefix
    records = with_etcd(host.effective, lambda store: _listed(store, names_prefix(prefix)))
    found: list[FoundContainer] = []
    unread: list[str] = []
    for kv in records:
        try:
            told = decode_names(*read_key(prefix, kv.key), kv.value)
        except ConfigError as error:
            unread.append(str(error))
            continue
        found.extend(FoundContainer(told, box) for box in told.containers)
    return tuple(sorted(found, key=_order)), tuple(unread)


def called(found: Iterable[FoundContainer], asked: str) -> Iterator[FoundContainer]:
    """Yield the containers that a word may mean."""
    return (one for one in found if one.is_called(asked))


async def _listed(store: KeyStore, prefix: str) -> tuple[KeyValue, ...]:
    return (await store.list(prefix)).items


def _order(one: FoundContainer) -> tuple[str, str, str]:
    return one.network, one.box.name, one.told.host
