"""Names of containers as etcd has them, for commands: all records, and who is called by a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flanpy.cli.base.etcd import with_etcd
from flanpy.cli.base.host import Host
from flanpy.errors import ConfigError
from flanpy.model.networks.names import FLAT, ZONE, NamedContainer, ToldNames
from flanpy.names.records import decode_names, names_prefix, read_key
from flanpy.store.port import KeyStore


@dataclass(frozen=True, slots=True)
class FoundContainer:
    """A container on one network of one host."""

    told: ToldNames
    box: NamedContainer

    @property
    def network(self) -> str:
        """Return the network's name, "" for the flat overlay."""
        return "" if self.told.network == FLAT else self.told.network

    def document(self) -> dict[str, Any]:
        """Return what stands in JSON, without the network."""
        return {
            "addresses": [str(address) for address in self.box.addresses],
            "aliases": list(self.box.aliases),
            "host": self.told.host,
            "node_id": self.told.node_id,
        }

    def is_called(self, asked: str) -> bool:
        """Report whether somebody who is on the network, or at this keyboard, may mean it by the word."""
        word = asked.lower().rstrip(".").removesuffix(f".{ZONE}")
        places = (self.told.network,) if self.network else (self.told.host, self.told.host.partition(".")[0])
        ends = ("", *(f".{place.lower()}" for place in places if place))
        return any(word == name.lower() + end for name in self.box.names for end in ends)


@dataclass(frozen=True, slots=True)
class FoundNames:
    """The records of names at one revision of etcd, and one line for each that cannot be read."""

    told: tuple[ToldNames, ...]
    unread: tuple[str, ...]
    revision: int

    @property
    def containers(self) -> tuple[FoundContainer, ...]:
        """Return all containers in order."""
        return tuple(
            sorted((FoundContainer(told, box) for told in self.told for box in told.containers), key=_order)
        )


def read_names(host: Host) -> tuple[tuple[FoundContainer, ...], tuple[str, ...]]:
    """Return all containers in order, and one line for each record that cannot be read. Raises StoreError."""
    prefix = host.effective.etcd.prefix
    found = with_etcd(host.effective, lambda store: list_names(store, prefix))
    return found.containers, found.unread


async def list_names(store: KeyStore, prefix: str, network: str = "") -> FoundNames:
    """Read the records of one network, or of all. Raises StoreError."""
    listed = await store.list(names_prefix(prefix, network))
    read: list[ToldNames] = []
    unread: list[str] = []
    for kv in listed.items:
        try:
            read.append(decode_names(*read_key(prefix, kv.key), kv.value))
        except ConfigError as error:
            unread.append(str(error))
    return FoundNames(tuple(read), tuple(unread), listed.revision)


def called(found: Iterable[FoundContainer], asked: str) -> Iterator[FoundContainer]:
    """Yield the containers that a word may mean."""
    return (one for one in found if one.is_called(asked))


def _order(one: FoundContainer) -> tuple[str, str, str]:
    return one.network, one.box.name, one.told.host
