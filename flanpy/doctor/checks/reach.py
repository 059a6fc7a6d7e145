"""The faults that probes found between this host and its peers, by cause; each pair is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flanpy.api.leases import PeerDocument
from flanpy.doctor.checks.common import Problem
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Severity
from flanpy.model.problem import OF_TROUBLE
from flanpy.model.reach import Reach, Trouble

_TITLES: Final = {
    Trouble.PORT_BLOCKED: "the overlay's port is blocked between this host and a peer",
    Trouble.ONE_WAY_OUT: "what this host sends over the overlay does not reach a peer",
    Trouble.ONE_WAY_IN: "what a peer sends over the overlay does not reach this host",
    Trouble.MTU_BLACK_HOLE: "large packets vanish on the way to a peer",
    Trouble.WRONG_MAC: "a peer has another MAC than its lease says",
    Trouble.FIREWALL: "a packet filter drops what the overlay carries",
    Trouble.REVERSE_PATH: "reverse-path filters drop what peers send",
    Trouble.NO_UNDERLAY: "a peer cannot be reached on the underlay either",
    Trouble.PEER_DOWN: "a peer's host is down",
    Trouble.LOSS: "packets to a peer are lost on the way",
    Trouble.UNEXPLAINED: "a peer does not answer, and nothing explains it",
    Trouble.NONE: "a peer does not answer",
}

_BY_TROUBLE: Final = {trouble: Problem(OF_TROUBLE[trouble], title) for trouble, title in _TITLES.items()}

_BAD: Final = {Reach.UNREACHABLE.value, Reach.LOSSY.value}


def problems() -> Iterable[Problem]:
    """Return what a peer's trouble can be."""
    return _BY_TROUBLE.values()


def peers(facts: Facts) -> Iterator[Finding]:
    """By kind of trouble, in the order in which one explains another."""
    for trouble, problem in _BY_TROUBLE.items():
        rows = [row for row in facts.peers.peers if _is_ailing(row) and _trouble(row) is trouble]
        if not rows:
            continue
        lost = any(row.reach == Reach.UNREACHABLE.value for row in rows)
        name = "MTUConsistent" if trouble is Trouble.MTU_BLACK_HOLE else "PeersReachable"
        yield problem.found(
            *(_line(facts, row) for row in rows),
            cure=next((cure for row in rows if (cure := row.cure)), ""),
            severity=Severity.ERROR if lost or trouble is Trouble.MTU_BLACK_HOLE else Severity.WARNING,
            condition=name if facts.condition(name) is not None else "",
        )


def _is_ailing(row: PeerDocument) -> bool:
    return row.reach in _BAD or _trouble(row) is Trouble.MTU_BLACK_HOLE


def _trouble(row: PeerDocument) -> Trouble:
    try:
        return Trouble(row.trouble)
    except ValueError:
        return Trouble.UNEXPLAINED


def _line(facts: Facts, row: PeerDocument) -> str:
    here = facts.here or "this host"
    there = row.host or row.node_id or row.subnet or "a peer"
    why = ", ".join(filter(None, (row.trouble, row.evidence)))
    lost = f"{row.loss:.0%} lost" if row.loss and row.reach == Reach.LOSSY.value else ""
    return ": ".join(
        filter(
            None,
            (f"{here} -> {there}" + (f" ({row.public_ip})" if row.public_ip else ""), lost or row.reach, why),
        )
    )
