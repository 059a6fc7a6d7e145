"""The names of all hosts as last heard: a fold of the news from their watch, and what of it counts here.

Owns when a name goes. A record that vanishes ran out, as hosts tell of no containers in words: while its host answers
probes it is etcd that lost it, and the names stay. A lost watch deletes nothing. Of a record only addresses count that
its network has: a writer of etcd must not send containers elsewhere by a name. Does no I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from flanpy.errors import ConfigError
from flanpy.model.address import IPNetwork
from flanpy.model.networks.names import NamedContainer, ToldNames
from flanpy.names.records import decode_names, read_key
from flanpy.names.table import NameTable
from flanpy.store.port import Delta, KeyValue, News, Snapshot, Stale

Ranges = Mapping[str, tuple[IPNetwork, ...]]
"""The ranges of the networks that this host is on, by name."""

Teller = tuple[str, str]
"""A network and a host that tells of it."""


class NamesView:
    """The known names of other hosts. `table` has what counts."""

    def __init__(self, prefix: str, node_id: str) -> None:
        self._prefix = prefix
        self._node_id = node_id
        self._known: dict[Teller, ToldNames] = {}
        self._doubtful: set[Teller] = set()
        self._ranges: Ranges = {}
        self.table = NameTable(node_id)
        self.invalid: dict[Teller, str] = {}
        self.stale = True
        self.changes = 0
        """The number of changes so far, for who keeps a copy."""

    def recall(self, told: Iterable[ToldNames]) -> None:
        """Take what was known before a restart; it goes as what a lost watch left."""
        for one in told:
            if one.node_id != self._node_id:
                self._take(one)
                self._doubtful.add((one.network, one.node_id))

    def use(self, ranges: Ranges) -> bool:
        """Take the networks that this host is on; report whether they are others than before."""
        if ranges == self._ranges:
            return False
        self._ranges = dict(ranges)
        for one in [*self.table.told()]:
            if one.network not in ranges:
                self.table.drop(one.network, one.node_id)
        for one in self._known.values():
            self._show(one)
        return True

    def tell_own(self, told: Mapping[str, ToldNames]) -> None:
        """Take this host's own names, which count at once and whatever etcd says."""
        own = {one.network: one for one in self.table.told() if one.node_id == self._node_id}
        for network in own.keys() - told.keys():
            self.table.drop(network, self._node_id)
        for network, one in told.items():
            if own.get(network) != one:
                self.table.put(one)

    def after(self, news: News) -> None:
        """Take news of the watch."""
        match news:
            case Snapshot(items):
                self.stale = False
                here = {read_key(self._prefix, kv.key) for kv in items}
                self._doubtful |= self._known.keys() - here
                for kv in items:
                    self._read(kv)
            case Delta(puts, deletes):
                self.stale = False
                self._doubtful |= {read_key(self._prefix, one.key) for one in deletes} & self._known.keys()
                for kv in puts:
                    self._read(kv)
            case Stale():
                self.stale = True
            case _:
                self.stale = False

    def settle(self, answers: Callable[[str], bool]) -> bool:
        """Let go of the names of hosts that are not heard of in any way; report whether any went."""
        if self.stale:
            return False
        gone = {teller for teller in self._doubtful if not answers(teller[1])}
        for teller in gone:
            del self._known[teller]
            self.table.drop(*teller)
        self._doubtful -= gone
        self.changes += bool(gone)
        return bool(gone)

    @property
    def is_doubtful(self) -> bool:
        """Report whether `settle` has something to judge."""
        return bool(self._doubtful)

    def known(self) -> tuple[ToldNames, ...]:
        """Return what other hosts told, in the order of networks and hosts."""
        return tuple(self._known[teller] for teller in sorted(self._known))

    def _read(self, kv: KeyValue) -> None:
        teller = read_key(self._prefix, kv.key)
        if teller[1] == self._node_id:
            return
        try:
            found = decode_names(*teller, kv.value)
        except ConfigError as error:
            self.invalid[teller] = str(error)
            return
        self.invalid.pop(teller, None)
        self._doubtful.discard(teller)
        self._take(found)

    def _take(self, told: ToldNames) -> None:
        teller = (told.network, told.node_id)
        if self._known.get(teller) == told:
            return
        self._known[teller] = told
        self.changes += 1
        self._show(told)

    def _show(self, told: ToldNames) -> None:
        if told.network in self._ranges:
            self.table.put(within(told, self._ranges[told.network]))


def within(told: ToldNames, ranges: tuple[IPNetwork, ...]) -> ToldNames:
    """Return what is told without addresses beyond the ranges, and without containers that have none then."""
    boxes = (_within(one, ranges) for one in told.containers)
    return replace(told, containers=tuple(box for box in boxes if box.addresses))


def _within(box: NamedContainer, ranges: tuple[IPNetwork, ...]) -> NamedContainer:
    kept = tuple(one for one in box.addresses if any(one in range_ for range_ in ranges))
    return box if kept == box.addresses else replace(box, addresses=kept)
