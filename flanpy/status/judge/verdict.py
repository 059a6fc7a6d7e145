"""The constructors of conditions for judges. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from flanpy.model.condition import Condition, ConditionType, Status

BRIEF = 3
"""How many offenders a message names before it only counts."""

EVIDENCE = 16
"""How many lines of evidence a condition has at most."""


def good(kind: ConditionType, reason: str, message: str, *, status: Status = Status.TRUE) -> Condition:
    return Condition(kind, status, reason, message, healthy=True)


def bad(
    kind: ConditionType,
    reason: str,
    message: str,
    cure: str = "",
    *,
    status: Status = Status.FALSE,
    evidence: Sequence[str] = (),
) -> Condition:
    lines = tuple(evidence[:EVIDENCE])
    if len(evidence) > EVIDENCE:
        lines += (f"and {len(evidence) - EVIDENCE} more",)
    return Condition(kind, status, reason, message, healthy=False, cure=cure, evidence=lines)


def unknown(kind: ConditionType, reason: str, message: str) -> Condition:
    """Not known, though the overlay cannot do without."""
    return Condition(kind, Status.UNKNOWN, reason, message, healthy=False)


def unmeasured(kind: ConditionType, reason: str, message: str) -> Condition:
    """Return an unknown condition that is no fault: the overlay does not need its source."""
    return Condition(kind, Status.UNKNOWN, reason, message, healthy=True)


def named(names: Sequence[str], separator: str = ", ") -> str:
    """`a, b, c and 4 more`."""
    more = f" and {len(names) - BRIEF} more" if len(names) > BRIEF else ""
    return separator.join(names[:BRIEF]) + more
