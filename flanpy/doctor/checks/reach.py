"""The faults that probes found between this host and its peers, by cause; each pair is named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from flanpy.doctor import document
from flanpy.doctor.checks.common import Problem
from flanpy.doctor.document import Document
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
        rows = [row for row in facts.rows("peers", "peers") if _is_ailing(row) and _trouble(row) is trouble]
        if not rows:
            continue
        lost = any(row.get("reach") == Reach.UNREACHABLE.value for row in rows)
        name = "MTUConsistent" if trouble is Trouble.MTU_BLACK_HOLE else "PeersReachable"
        yield problem.found(
            *(_line(facts, row) for row in rows),
            cure=next((cure for row in rows if (cure := document.text(row, "cure"))), ""),
            severity=Severity.ERROR if lost or trouble is Trouble.MTU_BLACK_HOLE else Severity.WARNING,
            condition=name if facts.condition(name) is not None else "",
        )


def _is_ailing(row: Document) -> bool:
    return document.text(row, "reach") in _BAD or _trouble(row) is Trouble.MTU_BLACK_HOLE


def _trouble(row: Document) -> Trouble:
    try:
        return Trouble(document.text(row, "trouble"))
    except ValueError:
        return Trouble.UNEXPLAINED


def _line(facts: Facts, row: Document) -> str:
    here = document.host(facts.part("status")) or "this host"
    there = document.host(row) or document.text(row, "subnet") or "a peer"
    ip = document.text(row, "public_ip")
    why = ", ".join(filter(None, (document.text(row, "trouble"), document.text(row, "evidence"))))
    loss = document.number(row, "loss")
    lost = f"{loss:.0%} lost" if loss and row.get("reach") == Reach.LOSSY.value else ""
    return ": ".join(
        filter(
            None,
            (f"{here} -> {there}" + (f" ({ip})" if ip else ""), lost or document.text(row, "reach"), why),
        )
    )
