"""Reachability between hosts: the daemon's `/v1/mesh` as an N x N matrix, and its broken pairs. Sends no request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flanpy.cli.base.hosts import names
from flanpy.cli.base.output import Table
from flanpy.cli.base.wording import natural
from flanpy.cli.look.peer_rows import share

Row = Mapping[str, Any]

_NAMED_UP_TO: Final = 12
"""Columns headed by names; more are headed by the number that stands before the name in the row."""


class MeshDocument:
    """The document, indexed. A cell that no agent reported is unknown, which is not the same as broken."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        nodes = said.get("nodes", ())
        called = names(node for node in nodes if isinstance(node, Mapping))
        rows = (
            {**row, **{end: called.get(str(row[end]), str(row[end])) for end in ("from", "to")}}
            for row in said.get("rows", ())
        )
        self._rows: dict[tuple[str, str], Row] = {(row["from"], row["to"]): row for row in rows}
        told = [called.get(_name(node), _name(node)) for node in nodes]
        seen = [name for pair in self._rows for name in pair]
        self.nodes: Sequence[str] = tuple(sorted({*told, *seen}, key=natural))

    @property
    def broken(self) -> tuple[Row, ...]:
        """Pairs that probes found to be broken, by sender and receiver."""
        order = {name: place for place, name in enumerate(self.nodes)}
        bad = [
            row
            for row in self._rows.values()
            if row.get("reach") in {"unreachable", "lossy"} or row.get("trouble")
        ]
        return tuple(sorted(bad, key=lambda row: (order[str(row["from"])], order[str(row["to"])])))

    @property
    def silent(self) -> tuple[str, ...]:
        """Return the nodes whose agent reported nothing."""
        senders = {sender for sender, _ in self._rows}
        return tuple(name for name in self.nodes if name not in senders) if len(self.nodes) > 1 else ()

    def table(self) -> Table:
        """Senders by row, receivers by column."""
        numbered = len(self.nodes) > _NAMED_UP_TO
        heads = [str(place) for place, _ in enumerate(self.nodes, 1)] if numbered else list(self.nodes)
        rows = tuple(
            (f"{place} {sender}" if numbered else sender, *(self._cell(sender, to) for to in self.nodes))
            for place, sender in enumerate(self.nodes, 1)
        )
        bad = {str(row["from"]) for row in self.broken}
        return Table(
            ("FROM \\ TO", *heads), rows, {n: "red" for n, name in enumerate(self.nodes) if name in bad}
        )

    def _cell(self, sender: str, to: str) -> str:
        if sender == to:
            return "."
        row = self._rows.get((sender, to))
        match row.get("reach") if row else None:
            case "reachable":
                return _figure(row)
            case "lossy":
                return f"{share((row or {}).get('loss'))} lost"
            case "unreachable":
                return "LOST"
            case _:
                return "?"


def _figure(row: Row | None) -> str:
    rtt = (row or {}).get("rtt_ms")
    return "ok" if rtt is None else f"{rtt:.2f}" if rtt < 10 else f"{rtt:.0f}"


def _name(node: Any) -> str:
    return str(node.get("node_id") or node.get("subnet")) if isinstance(node, Mapping) else str(node)
