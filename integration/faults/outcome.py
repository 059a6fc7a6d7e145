"""Owns what became of the faults that were tried, and the table of it.

A test notes each fault it saw survived; where FLANPY_FAULTS_REPORT names a file the notes are kept there, a JSON line
each, and `python -m integration.faults FILE` prints the table. It must not judge: a fault that was not survived is a
failed test, and is not noted.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REPORT_VARIABLE = "FLANPY_FAULTS_REPORT"
LONG_VARIABLE = "FLANPY_FAULTS"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault that was survived; None where a figure was not taken.

    `gap_ms` is the longest silence of a running stream or probe, `converged_s` the time until all stood again.
    """

    family: str
    fault: str
    gap_ms: float | None = None
    converged_s: float | None = None
    lost: int | None = None


def noted(
    family: str,
    fault: str,
    *,
    gap_ms: float | None = None,
    converged_s: float | None = None,
    lost: int | None = None,
) -> Outcome:
    """Keep an outcome, if anybody asked for a report; returns it."""
    outcome = Outcome(family, fault, gap_ms, converged_s, lost)
    if path := os.environ.get(REPORT_VARIABLE):
        with Path(path).open("a") as file:  # one write of one line: several test processes may append
            file.write(json.dumps(asdict(outcome)) + "\n")
    return outcome


def in_full() -> bool:
    """Whether the long tier was asked for (`make faults`)."""
    return os.environ.get(LONG_VARIABLE) == "long"


def read(path: Path) -> list[Outcome]:
    """The outcomes that were kept there."""
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()]


def table(outcomes: Sequence[Outcome]) -> str:
    """Faults by family with their figures, then the worst gaps."""
    families = sorted({outcome.family for outcome in outcomes})
    rows = [_HEAD, *(_row(name, [o for o in outcomes if o.family == name]) for name in families)]
    rows.append(_row("all", outcomes))
    return _aligned(rows) + "\n" + _worst(outcomes)


_HEAD = ("family", "survived", "longest gap ms", "of", "converged s", "worst", "of")


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    gap = max((o for o in outcomes if o.gap_ms is not None), key=lambda o: o.gap_ms or 0, default=None)
    times = [o.converged_s for o in outcomes if o.converged_s is not None]
    slowest = max(
        (o for o in outcomes if o.converged_s is not None), key=lambda o: o.converged_s or 0, default=None
    )
    return (
        name,
        str(len(outcomes)),
        f"{gap.gap_ms:.0f}" if gap is not None else "-",
        gap.fault if gap is not None else "-",
        f"{statistics.median(times):.2f}" if times else "-",
        f"{max(times):.2f}" if times else "-",
        slowest.fault if slowest is not None else "-",
    )


def _worst(outcomes: Iterable[Outcome], count: int = 10) -> str:
    gaps = sorted((o for o in outcomes if o.gap_ms is not None), key=lambda o: -(o.gap_ms or 0))[:count]
    rows = [("longest gaps ms", "lost", "fault")]
    rows += [
        (f"{o.gap_ms:.0f}", "-" if o.lost is None else str(o.lost), f"{o.family}: {o.fault}") for o in gaps
    ]
    return _aligned(rows)


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )
