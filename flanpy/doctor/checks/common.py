"""The shared parts of checks: findings from a condition, from recent repairs, and from the ends of traced packets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flanpy.api.events import EventDocument
from flanpy.api.status import ConditionDocument
from flanpy.doctor.facts import Facts, Traced
from flanpy.doctor.finding import Finding, Repair, Severity
from flanpy.model.event import WHOLE, EventKind
from flanpy.trace.hop import Cause, Hop, HopVerdict, Place

Attributes = frozenset[str]
"""What a repair put right, as `Event.attributes`."""

LATELY_S: Final = 900.0
"""What was repaired within so many seconds is worth telling."""

_OFTEN: Final = 5
"""Repairs within that time that prove another program undoes our work."""

_LINES: Final = 8
_WIDE: Final = 240
"""Lines of evidence, and characters of a repair in one."""

_LONGEST: Final = 1000
"""Characters of a line of evidence, and of a cure: the daemon's user says what the operator reads."""

_AT_ONCE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Problem:
    """One of the list: its id, and its title in a finding."""

    id: str
    title: str

    def found(
        self,
        *evidence: str,
        cure: str = "",
        grant: str = "",
        severity: Severity = Severity.ERROR,
        condition: str = "",
        repair: Repair | None = None,
        at: float = 0.0,
    ) -> Finding:
        return Finding(
            id=self.id,
            title=self.title,
            severity=severity,
            condition=condition,
            evidence=some(evidence),
            cure=cure[:_LONGEST],
            grant=grant,
            repair=repair,
            at=at,
        )


def some(lines: Iterable[str]) -> tuple[str, ...]:
    """The first of them, each once, and how many more."""
    found = tuple(dict.fromkeys(line[:_LONGEST] for line in lines if line))
    more = len(found) - _LINES
    return (*found[:_LINES], f"and {more} more") if more > 0 else found


def evidence_of(condition: ConditionDocument) -> tuple[str, ...]:
    """Reason and message, then what was measured."""
    return (": ".join(filter(None, (condition.reason, condition.message))), *condition.evidence)


def judgement(facts: Facts, name: str, reason: str) -> str:
    """The condition's name, if the daemon has come to that judgement; "" if it has not."""
    return name if facts.reason(name) == reason else ""


def judged(
    facts: Facts,
    name: str,
    problem: Problem,
    *,
    reasons: Sequence[str] = (),
    severity: Severity = Severity.ERROR,
    more: Sequence[str] = (),
    repair: Repair | None = None,
) -> Iterator[Finding]:
    """The finding that a bad condition is, if its reason is one of `reasons` (empty: any)."""
    condition = facts.condition(name)
    if condition is None or condition.status == "Unknown":
        return
    if reasons and condition.reason not in reasons:
        return
    yield problem.found(
        *evidence_of(condition),
        *more,
        cure=condition.cure,
        severity=severity,
        condition=name,
        repair=repair,
    )


def repaired(
    facts: Facts,
    problem: Problem,
    kinds: Iterable[str],
    cure: str,
    *,
    where: Callable[[Attributes], bool] = lambda _: True,
) -> Iterator[Finding]:
    """One finding for recent repairs; `where` selects them by the attributes that were put right."""
    wanted = frozenset(kinds)
    events = [
        event
        for event in _lately(facts)
        if event.what in wanted and where(frozenset(event.attributes)) and not _is_consequence(facts, event)
    ]
    if not events:
        return
    times = max(sum(one.times for one in events if one.what == what) for what in wanted)
    last = max(event.at for event in events)
    head = f"flanpyd put it right {times} times in the last {LATELY_S / 60:.0f} minutes" if times > 1 else ""
    lines = [f"{facts.now - event.at:.0f} s ago: {event.why[:_WIDE]}" for event in reversed(events)]
    severity = Severity.WARNING if times >= _OFTEN else Severity.NOTE
    yield problem.found(head, *lines, cure=cure, severity=severity, at=last)


def _lately(facts: Facts) -> Iterator[EventDocument]:
    for event in facts.events.events:
        if event.kind == EventKind.REPAIRED.value and 0 <= facts.now - event.at <= LATELY_S:
            yield event


_FLUSHING: Final = frozenset({WHOLE, "mac"})
"""A device made again, or its MAC put back: the kernel drops what stands on it."""


def _is_consequence(facts: Facts, event: EventDocument) -> bool:
    """Report whether the device itself was repaired at the same time."""
    if event.what in {"link", "filter", "filterjump", "sysctl"}:
        return False
    return any(
        other.what == "link"
        and abs(other.at - event.at) <= _AT_ONCE_S
        and not _FLUSHING.isdisjoint(other.attributes)
        for other in _lately(facts)
    )


def ends(
    facts: Facts, places: Iterable[Place], causes: Iterable[Cause] = Cause, *, but: Iterable[Cause] = ()
) -> list[tuple[Traced, Hop]]:
    """Return hops at which traced packets die or are harmed, for one of `causes`, for none of `but`."""
    wanted, of = frozenset(places), frozenset(causes) - frozenset(but)
    return [
        (traced, hop)
        for traced in facts.traced
        for hop in traced.walk.hops
        if hop.place in wanted and hop.cause in of and hop.verdict in {HopVerdict.DIES, HopVerdict.HARMS}
    ]


def met(found: Sequence[tuple[Traced, Hop]]) -> tuple[str, ...]:
    """Return the rules and entries that the packets met, then the packets."""
    lines = [line for _, hop in found for line in (hop.text, *hop.evidence)]
    packets = [f"packets {one.walk.source or 'of this host'} -> {one.walk.destination}" for one, _ in found]
    return (*dict.fromkeys(lines), *dict.fromkeys(packets))


def traced_finding(
    problem: Problem, found: Sequence[tuple[Traced, Hop]], cure: str = "", *, condition: str = ""
) -> Iterator[Finding]:
    """One finding for all packets that ended alike."""
    if found:
        worst = any(hop.verdict is HopVerdict.DIES for _, hop in found)
        severity = Severity.ERROR if worst else Severity.WARNING
        cure = cure or found[0][1].cure
        yield problem.found(*met(found), cure=cure, severity=severity, condition=condition)


def sysctl(name: str, value: object) -> Repair:
    return sysctls({name: value})


def sysctls(settings: Mapping[str, object]) -> Repair:
    return Repair(("sysctl", "-w", *(f"{name}={value}" for name, value in settings.items())))
