"""One look at the packet filters of this host: our existing objects, and Docker's rules.

Programs run only for filters that are in use and only after a change since the last look; otherwise the last look is
returned. Must not write, or decide on the desired rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.model.objects import KernelObject, Key
from flanpy.model.packet_filter import (
    LEFTOVER_TABLES,
    NFT_TABLE,
    DockerRules,
    FilterChain,
    FilterFacts,
    FilterObject,
    Flavour,
)
from flanpy.netfilter import legacy
from flanpy.netfilter.nfnetlink import NfTables, Tables
from flanpy.netfilter.saved import Saved, read_listed, read_saved
from flanpy.netfilter.tools import Tools, run

_DOCKER_TABLE = "docker-bridges"
"""Docker's own nftables table, from 29.0 with firewall-backend=nftables."""

_INET = 1
"""Tables of both families (NFPROTO_INET)."""


@dataclass(frozen=True, slots=True)
class Look:
    """The result of a look."""

    facts: FilterFacts = field(default_factory=FilterFacts)
    objects: tuple[FilterObject, ...] = ()

    @property
    def by_key(self) -> dict[Key, KernelObject]:
        """Return the objects as a read-back gives them."""
        return {obj.key: obj for obj in self.objects}


class Looker:
    """The reader of the packet filters. Blocks for some milliseconds after a change: look in a worker thread.

    `own_writes` counts our transactions since then whose changes no look shows.
    """

    def __init__(self, tools: Tools | None = None, own_writes: Callable[[], int] = lambda: 0) -> None:
        self._tools = tools or Tools()
        self._own_writes = own_writes
        self._nf = NfTables()
        self._seen: object = None
        self._look = Look()

    def close(self) -> None:
        self._nf.close()

    def signature(self) -> object:
        """Return a value that equals an earlier one if, as far as is cheap to know, nothing has changed since."""
        tools, default = self._tools.present()
        sizes = [legacy.sizes(family, self._legacy(family)) for family in Family]
        return (self._nf.generation() - self._own_writes(), tools, default, *sizes)

    @property
    def has_legacy(self) -> bool:
        """Report whether a filter has to be polled."""
        return any(map(self._legacy, Family))

    def forget(self) -> None:
        """Make the next look a real one."""
        self._seen = None

    def unchanged(self) -> Look | None:
        """Return the last look, if it still holds. Costs 0.2 ms."""
        return self._look if self._seen is not None and self._seen == self.signature() else None

    def look(self) -> Look:
        """Look again. Raises KernelError if a filter in use cannot be read."""
        signature = self.signature()  # before: what changes meanwhile is looked at again
        self._look = self._read()
        self._seen = signature
        return self._look

    def _read(self) -> Look:
        (tools, default), tables = self._tools.present(), self._nf.tables()
        objects: list[FilterObject] = []
        docker: set[tuple[Flavour, Family, DockerRules]] = set()
        for family in Family:
            for flavour, saved in self._saved(family, tables, tools):
                objects += saved.objects
                if saved.docker is not None:
                    docker.add((flavour, family, saved.docker))
            objects += self._listed(family, tables)
            if (family, _DOCKER_TABLE) in tables:
                docker.add((Flavour.NFT, family, DockerRules()))
        foreign = frozenset(family for family in Family if self._is_foreign(family, tables))
        return Look(FilterFacts(tools, default, frozenset(docker), foreign), tuple(objects))

    def _is_foreign(self, family: Family, tables: Tables) -> bool:
        """Report whether another program has a table."""
        ours = {NFT_TABLE, LEFTOVER_TABLES[family]}
        known = any(number in {family, _INET} and name not in ours for number, name in tables)
        return known or bool(self._legacy(family))

    def _saved(
        self, family: Family, tables: Tables, tools: frozenset[Flavour]
    ) -> Iterator[tuple[Flavour, Saved]]:
        if Flavour.IPTABLES_NFT in tools and any((family, name) in tables for name in legacy.TABLES):
            yield Flavour.IPTABLES_NFT, self._save(Flavour.IPTABLES_NFT, family)
        if Flavour.IPTABLES_LEGACY not in tools:
            return
        in_use = self._legacy(family)
        if in_use and legacy.tables_in_use(family) is None:
            # The tool may not list the tables either, but it reads those that it is told to.
            parts = [self._save(Flavour.IPTABLES_LEGACY, family, table) for table in in_use]
            yield Flavour.IPTABLES_LEGACY, _joined(parts)
        elif in_use:
            yield Flavour.IPTABLES_LEGACY, self._save(Flavour.IPTABLES_LEGACY, family)

    def _legacy(self, family: Family) -> tuple[str, ...]:
        """Return the tables of iptables-legacy in use. Without root they are unknown: all if it is the default, else
        none."""
        in_use = legacy.tables_in_use(family)
        if in_use is None:
            return legacy.TABLES if self._tools.default() is Flavour.IPTABLES_LEGACY else ()
        return in_use

    def _save(self, flavour: Flavour, family: Family, table: str = "") -> Saved:
        argv = self._tools.argv(flavour, family, "save")
        return read_saved(run((*argv, *(("-t", table) if table else ()))), flavour, family)

    def _listed(self, family: Family, tables: Tables) -> Iterator[FilterObject]:
        leftover = LEFTOVER_TABLES[family]
        if (family, leftover) in tables:
            yield FilterChain(Flavour.NFT, family, leftover, "")
        if (family, NFT_TABLE) in tables:
            argv = self._tools.argv(Flavour.NFT, family, "list")
            place = "ip" if family is Family.IPV4 else "ip6"
            try:
                text = run(
                    (*argv, "--stateless", "--terse", "--numeric-priority", "list", "table", place, NFT_TABLE)
                )
            except KernelError:
                if (family, NFT_TABLE) in self._nf.tables():
                    raise
                return  # it went just now
            yield from read_listed(text, family, NFT_TABLE)


def _joined(parts: list[Saved]) -> Saved:
    docker = [part.docker for part in parts if part.docker is not None]
    drops = any(part.docker is not None and part.docker.direct_drops for part in parts)
    both = DockerRules(any(rules.user_chain for rules in docker), drops) if docker else None
    return Saved(tuple(obj for part in parts for obj in part.objects), both)
