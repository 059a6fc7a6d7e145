"""The reports of hosts on their peers, as JSON: ours is made here, others' are validated here. Pure.

Any program that holds a peer's address may answer: a row counts only if every field of it is valid, and its author is
the host that was asked, never a name from its content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flanpy.model.reach import PeerReach, Reach, ReachReport, Trouble

Document = dict[str, Any]

MOST_ROWS: Final = 2048
MOST_CONTAINERS: Final = 256
_LONGEST: Final = 256
_REACHES: Final = frozenset(reach.value for reach in Reach)
_TROUBLES: Final = frozenset(trouble.value for trouble in Trouble)
_LONGEST_MS: Final = 1e7
_LATEST: Final = 1e11
"""Wall time, in the year 5138."""


@dataclass(frozen=True, slots=True)
class Told:
    """The address of a host's page and the names of its containers on the overlay; only a host with a page tells."""

    page: str = ""
    containers: tuple[str, ...] = ()


def own_document(
    report: ReachReport, *, node_id: str, subnet: str, at: float, told: Told | None = None
) -> Document:
    """`GET /v1/reachability`: this host's row of the mesh. `at` is wall time."""
    return {
        "node_id": node_id,
        "subnet": subnet,
        "at": at,
        **({"told": _cut(told)} if told is not None else {}),
        "rows": [_row(peer) for peer in list(report.peers.values())[:MOST_ROWS]],
    }


def _row(peer: PeerReach) -> Document:
    rtt = peer.overlay.rtt
    return {
        "node_id": peer.node_id,
        "subnet": str(peer.key),
        "reach": peer.reach.value,
        "rtt_ms": round(rtt * 1000, 3) if rtt is not None else None,
        "loss": round(peer.overlay.loss, 4) if peer.overlay.sent else None,
        "trouble": peer.diagnosis.trouble.value,
    }


def _cut(told: Told) -> Document:
    return {"page": told.page, "containers": list(told.containers[:MOST_CONTAINERS])}


def told_of(document: Document) -> Document | None:
    """Return what a host's document tells of itself, None without a page there."""
    told = document.get("told")
    return told if isinstance(told, dict) else None


def mesh_rows(document: Document, *, sender: str, names: Mapping[str, str]) -> Iterator[Document]:
    """The rows of one host's document for the mesh; `names` gives each subnet's node, others are left out."""
    at = document.get("at")
    for row in document.get("rows", ()):
        to = names.get(row["subnet"])
        if to is not None and to != sender:
            told = {name: row[name] for name in ("reach", "rtt_ms", "loss", "trouble")}
            yield {"from": sender, "to": to, **told, "at": at}


def read_document(octets: bytes) -> Document | None:
    """Another host's document, with only the rows that are well-formed; None if it is none."""
    try:
        found = json.loads(octets)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not _is_number(found.get("at"), _LATEST):
        return None
    rows = found.get("rows")
    if not isinstance(rows, list):
        return None
    told = _good_told(found.get("told"))
    more = {"told": told} if told is not None else {}
    return {"at": found["at"], "rows": list(_good(rows[:MOST_ROWS])), **more}


def _good_told(told: object) -> Document | None:
    """A link and names of bounded length, nothing else; a link of another kind than the web's is left out."""
    if not isinstance(told, dict) or not isinstance(told.get("containers"), list):
        return None
    page = told.get("page")
    is_link = isinstance(page, str) and len(page) <= _LONGEST and page.startswith(("http://", "https://"))
    names = [name for name in told["containers"] if isinstance(name, str) and len(name) <= _LONGEST]
    return {"page": page if is_link else "", "containers": names[:MOST_CONTAINERS]}


def _good(rows: Iterable[object]) -> Iterator[Document]:
    for row in rows:
        if isinstance(row, dict) and _is_good(row):
            yield row


def _is_good(row: Mapping[str, object]) -> bool:
    rtt, loss = row.get("rtt_ms"), row.get("loss")
    words = [row.get(name) for name in ("subnet", "reach", "trouble")]
    if not all(isinstance(word, str) for word in words):
        return False
    return (
        row["reach"] in _REACHES
        and row["trouble"] in _TROUBLES
        and {"rtt_ms", "loss"} <= set(row)
        and (rtt is None or _is_number(rtt, _LONGEST_MS))
        and (loss is None or _is_number(loss, 1.0))
    )


def _is_number(value: object, most: float) -> bool:
    """A finite one from 0; JSON's true is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= most  # false of NaN; an integer may be too large to become a float
