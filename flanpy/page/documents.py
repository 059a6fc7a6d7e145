"""Puts together the one JSON document that the page shows: the control socket's documents, made for a stream.

Pure. What changes with every tick of the clock is left out or replaced by points in time, so that a document differs
from the one before only where something happened, and what grows with the square of the hosts is cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Document = dict[str, Any]

MESH_NODES = 64
"""Up to so many hosts the whole mesh is sent; of a larger one what is not well, and those concerned."""

EVENTS = 200
"""So many of the newest events are sent."""

_COUNTERS = frozenset({"received", "sent"})


def page_document(
    *,
    status: Document,
    own_expires_at: float | None,
    peers: Document,
    subnets: Document,
    events: Document,
    mesh: Document | None,
    cluster: Document,
    day: Document | None = None,
) -> Document:
    """`{status, peers, subnets, events, mesh, cluster, day}`, as `/v1/...` answers them but for what is said above.

    Without a `mesh` of all hosts the mesh is this host's row, from `peers`. `own_expires_at` is wall time in seconds;
    `day` is `Day.strips`.
    """
    own = status.get("own")
    if own is not None:
        steady = {key: value for key, value in own.items() if key != "expires_in"}
        status = {**status, "own": {**steady, "expires_at": own_expires_at and round(own_expires_at)}}
    return {
        "status": status,
        "peers": [_steady(peer) for peer in peers["peers"]],
        "subnets": subnets,
        "events": events["events"][-EVENTS:],
        "cluster": cluster,
        "mesh": _cut(mesh if mesh is not None else own_row(name_of(status), peers)),
        "day": day or {},
    }


def _steady(peer: Document) -> Document:
    """`peer` without the bytes of its sessions, which count up with every probe."""
    sessions = peer.get("wireguard")
    if not sessions:
        return peer
    kept = [{key: value for key, value in one.items() if key not in _COUNTERS} for one in sessions]
    return {**peer, "wireguard": kept}


def own_row(here: str, peers: Document) -> Document:
    """The mesh as far as this host alone knows it."""
    found = peers["peers"]
    same = ("reach", "rtt_ms", "loss", "trouble")
    rows = [
        {"from": here, "to": name_of(peer), **{key: peer[key] for key in same}, "at": peer["changed_at"]}
        for peer in found
    ]
    return {"nodes": [here, *(name_of(peer) for peer in found)], "rows": rows}


def name_of(row: Document) -> str:
    """Return a host's name for people; flannel's have none and go by their subnet."""
    return str(row.get("host") or row["node_id"] or row["subnet"] or row.get("subnet6"))


def named(mesh: Document) -> Document:
    """`mesh` with `nodes` and the ends of its `rows` as names for people, and `told`: what hosts told of themselves."""
    if not mesh["nodes"] or isinstance(mesh["nodes"][0], str):
        return {**mesh, "told": {}}
    names = _names(mesh["nodes"])
    rows = [
        {**row, "from": names.get(row["from"], row["from"]), "to": names.get(row["to"], row["to"])}
        for row in mesh["rows"]
    ]
    told = {name_of(node): node["told"] for node in mesh["nodes"] if node.get("told")}
    return {**mesh, "nodes": [*names.values()], "rows": rows, "told": told}


def _cut(mesh: Document) -> Document:
    """`mesh` with `count` of all hosts and `measured` of all pairs beside what is left of them."""
    mesh = named(mesh)
    nodes, rows = mesh["nodes"], mesh["rows"]
    whole = {**mesh, "count": len(nodes), "measured": sum(row["reach"] != "unknown" for row in rows)}
    if len(nodes) <= MESH_NODES:
        return whole
    rows = [row for row in rows if row["reach"] not in {"unknown", "reachable"}]
    concerned = {*_ends(rows)}
    return {
        **whole,
        "nodes": [node for node in nodes if node in concerned],
        "rows": rows,
        "told": {name: told for name, told in mesh["told"].items() if name in concerned},
    }


def _names(nodes: Iterable[Document]) -> dict[str, str]:
    """Map what a mesh's rows call each host to its name for people."""
    return {str(node["node_id"] or node["subnet"]): name_of(node) for node in nodes}


def _ends(rows: Iterable[Document]) -> Iterable[str]:
    for row in rows:
        yield row["from"]
        yield row["to"]
