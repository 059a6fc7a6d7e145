"""The host's routing rules (ip-rule(8)) that are asked before the main table, where our routes stand. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import IPNetwork
from flanpy.model.objects import MAIN_TABLE


@dataclass(frozen=True, slots=True)
class TableRoute:
    """A route of another table than main; `kind` is unicast, blackhole, throw (ask the next rule), ..."""

    destination: IPNetwork
    link: str = ""
    kind: str = "unicast"
    via: str = ""

    def __str__(self) -> str:
        words = [self.kind] if self.kind != "unicast" else []
        words.append("default" if not self.destination.prefixlen else str(self.destination))
        words += ["via", self.via] if self.via else []
        return " ".join([*words, *(["dev", self.link] if self.link else [])])


@dataclass(frozen=True, slots=True)
class HostRule:
    """A rule that unmarked packets meet before the main table is asked.

    `source`, `to` and `link` (by which a packet comes in, "lo" for the host's own) limit it; None and "" do not.
    `drops`: it ends packets by itself. `suppress`: routes of this prefix length or less do not count, -1 for none.
    `routes` are those of the table as far as they touch the overlay, and its default routes.
    """

    version: int
    priority: int
    table: int
    source: IPNetwork | None = None
    to: IPNetwork | None = None
    link: str = ""
    drops: bool = False
    suppress: int = -1
    routes: tuple[TableRoute, ...] = ()

    def __str__(self) -> str:
        """Return the rule as `ip rule` prints it, in short."""
        words = [f"{self.priority}:", "from", str(self.source or "all")]
        words += ["to", str(self.to)] if self.to is not None else []
        words += ["iif", self.link] if self.link else []
        words += ["drops"] if self.drops else ["lookup", self.table_name]
        return " ".join(words)

    @property
    def table_name(self) -> str:
        return "main" if self.table == MAIN_TABLE else str(self.table)
