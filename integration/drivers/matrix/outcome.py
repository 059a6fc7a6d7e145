"""Owns what became of the faults that were tried, and the table of it.

A test notes each fault it saw survived; where FLANPY_FAULTS_REPORT names a file the notes are kept there, a JSON line
each, and `python -m integration.drivers.matrix FILE` prints the table. It must not judge: who tried says what was
wrong.
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
LONG = "long"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One fault that was tried; None where a figure was not taken. It was survived if nothing was `wrong`.

    `gap_ms` is the longest silence of a running stream or probe, `converged_s` the time until all stood again.
    """

    family: str
    fault: str
    gap_ms: float | None = None
    converged_s: float | None = None
    lost: int | None = None
    wrong: str = ""

    @property
    def survived(self) -> bool:
        """Report whether all conditions held."""
        return not self.wrong


def noted(
    family: str,
    fault: str,
    *,
    gap_ms: float | None = None,
    converged_s: float | None = None,
    lost: int | None = None,
) -> Outcome:
    """Keep the outcome of a survived fault, if a report is asked for; return the outcome."""
    outcome = Outcome(family, fault, gap_ms, converged_s, lost)
    if path := os.environ.get(REPORT_VARIABLE):
        keep(outcome, Path(path))
    return outcome


def keep(outcome: Outcome, path: Path) -> None:
    """Add the outcome to the report."""
    with path.open("a") as file:  # one write of one line: several test processes may append
        file.write(json.dumps(asdict(outcome)) + "\n")


def in_full() -> bool:
    """Report whether the long tier was asked for (`make faults`)."""
    return os.environ.get(LONG_VARIABLE) == LONG


def read(path: Path) -> list[Outcome]:
    """The outcomes that were kept there; none where nothing was."""
    return [Outcome(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """0 if faults were tried and all survived."""
    return 0 if outcomes and all(outcome.survived for outcome in outcomes) else 1


def table(outcomes: Sequence[Outcome]) -> str:
    """Faults by family with their figures, then each fault's longest gap, then those that were not survived."""
    families = sorted({outcome.family for outcome in outcomes})
    rows = [_HEAD, *(_row(name, [o for o in outcomes if o.family == name]) for name in families)]
    rows.append(_row("all", outcomes))
    return "\n".join(filter(None, (aligned(rows), _gaps(outcomes), _not_survived(outcomes))))


_HEAD = ("family", "tried", "survived", "longest gap ms", "of", "converged s: median", "worst", "of")


def _row(name: str, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    gap = max((o for o in outcomes if o.gap_ms is not None), key=lambda o: o.gap_ms or 0, default=None)
    times = [o.converged_s for o in outcomes if o.converged_s is not None]
    slowest = max(
        (o for o in outcomes if o.converged_s is not None), key=lambda o: o.converged_s or 0, default=None
    )
    return (
        name,
        str(len(outcomes)),
        str(sum(outcome.survived for outcome in outcomes)),
        f"{gap.gap_ms:.0f}" if gap is not None else "-",
        gap.fault if gap is not None else "-",
        f"{statistics.median(times):.2f}" if times else "-",
        f"{max(times):.2f}" if times else "-",
        slowest.fault if slowest is not None else "-",
    )


def _gaps(outcomes: Iterable[Outcome]) -> str:
    """One line a fault, the longest first; a fault that was tried more than once shows its longest."""
    rising = sorted((o for o in outcomes if o.gap_ms is not None), key=lambda o: o.gap_ms or 0)
    worst = {(o.family, o.fault): o for o in rising}
    rows = [("longest gap ms", "lost", "fault")]
    rows += [
        (f"{o.gap_ms:.0f}", "-" if o.lost is None else str(o.lost), f"{o.family}: {o.fault}")
        for o in sorted(worst.values(), key=lambda o: -(o.gap_ms or 0))
    ]
    return aligned(rows) if worst else ""


def _not_survived(outcomes: Iterable[Outcome]) -> str:
    return "".join(
        f"not survived: {o.family}: {o.fault}: {o.wrong.strip().splitlines()[0]}\n"
        for o in outcomes
        if not o.survived
    )


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )
