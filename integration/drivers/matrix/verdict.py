"""Owns what an etcd fault may cost: the bounds that every toll is held against, in CI and in full alike."""

from __future__ import annotations

from collections.abc import Iterator

from integration.drivers.matrix.outcome import Outcome
from integration.drivers.matrix.toll import Toll

MOST_LOG_LINES = 19
MOST_CPU = 0.01
"""Of a core, while it lasts."""
REPAIR_CPU_S = 0.35
"""CPU time for connecting, listing and programming once: in CI faults are too short for a share of them to say much."""
LONG_S = 60.0
SECONDS_TO_CONVERGE = 30.0


def wrongs(toll: Toll) -> tuple[str, ...]:
    """Return the conditions that did not hold, a phrase each."""
    return tuple(_wrongs(toll))


def _wrongs(toll: Toll) -> Iterator[str]:
    if not toll.sent or not toll.looks:
        yield f"nothing was measured ({toll.sent} datagrams, {toll.looks} looks at the leases)"
    if toll.lost:
        yield f"{toll.lost} of {toll.sent} datagrams lost"
    if not toll.tcp_whole:
        yield "the TCP stream broke"
    if toll.overlaps:
        yield f"leases overlapped: {'; '.join(toll.overlaps)}"
    if toll.moved:
        yield f"subnets moved: {'; '.join(toll.moved)}"
    if toll.log_lines > MOST_LOG_LINES:
        yield f"{toll.log_lines} log lines, more than {MOST_LOG_LINES}"
    repair = REPAIR_CPU_S if toll.seconds < LONG_S else 0.0
    if toll.cpu_s > (most := MOST_CPU * toll.seconds + repair):
        yield f"{toll.cpu_s} s of CPU time, more than {most:.2f}"
    if toll.converged_s > SECONDS_TO_CONVERGE:
        yield f"{toll.converged_s} s to converge, more than {SECONDS_TO_CONVERGE:g}"


def outcome_of(toll: Toll) -> Outcome:
    """The toll as one line of the table of all families."""
    return Outcome(
        "etcd",
        toll.fault,
        gap_ms=toll.longest_gap_ms,
        converged_s=toll.converged_s,
        lost=toll.lost,
        wrong="; ".join(wrongs(toll)),
    )
