"""Events in words: one sentence each, the same on the command line and on the status page. Pure text."""

from __future__ import annotations

from flanpy.model.event import Event, EventKind, Spell
from flanpy.printable import span


def sentence(event: Event) -> str:
    """Return what happened, how long it lasted, how often, and why."""
    return ": ".join(filter(None, (f"{_happened(event)}{_lasted(event)}", _why(event))))


_HEADS = {
    EventKind.STARTED: "{} started",
    EventKind.CONDITION_RAISED: "{} {is} bad",
    EventKind.PHASE_CHANGED: "this host {is} {}",
    EventKind.REPAIRED: "repaired {}",
    EventKind.PEER_JOINED: "{} joined",
    EventKind.PEER_LEFT: "{} left",
    EventKind.PEER_CHANGED: "{} changed",
    EventKind.PEER_UNREACHABLE: "{} stopped answering",
    EventKind.PEER_REACHABLE: "{} answered again",
    EventKind.LEASE_CHANGED: "this host's subnet became {}",
    EventKind.NETWORK_JOINED: "this host joined network {}",
    EventKind.NETWORK_LEFT: "this host left network {}",
    EventKind.RESYNC: "read the kernel back after {}",
}


def _happened(event: Event) -> str:
    verb = "is" if event.spell is None or event.lasts else "was"
    return _HEADS[event.kind].format(event.what, **{"is": verb})


_ENDS = {
    EventKind.STARTED: ("ready after {}", "not ready yet"),
    EventKind.CONDITION_RAISED: ("well again after {}", "it lasts"),
    EventKind.PHASE_CHANGED: ("over after {}", "it lasts"),
    EventKind.PEER_UNREACHABLE: ("back after {}", "it does not answer yet"),
}


def _lasted(event: Event) -> str:
    spell = event.spell
    if spell is None:
        return f", {event.times} times" if event.times > 1 else ""
    over, lasts = _ENDS[event.kind]
    newest = lasts if spell.newest is None else over.format(span(spell.newest))
    if event.times == 1:
        return f"; {newest}"
    if event.kind is EventKind.STARTED:
        return f" {event.times} times; at last {newest}"
    return f" {event.times} times, {_in_all(spell)}; at last {newest}"


def _in_all(spell: Spell) -> str:
    return f"{span(spell.lasted)} in all"


def _why(event: Event) -> str:
    """Return the reason; of several that a spell had, the names of all."""
    if event.spell is None or len(event.reasons) < 2:
        return event.why
    return f"{event.why} (in turn {', '.join(event.reasons)})"
