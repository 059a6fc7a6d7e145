"""Several runs as one: the faults of all seeds by kind and family, the longest gaps, how long all was well after."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class KindSum:
    """A kind of fault over all runs; gaps in seconds."""

    name: str
    family: str
    struck: int
    alone_gap: float
    alone_after: float
    shared_gap: float


@dataclass(frozen=True, slots=True)
class Summary:
    """Runs by seed and backend, in the order of the seeds."""

    seeds: tuple[str, ...]
    seconds: float
    storms: int
    tried: Counter[str]
    survived: Counter[str]
    kinds: tuple[KindSum, ...]
    converged: tuple[float, ...]
    sent: int
    lost_untouched: int
    lease_changes: int
    violations: tuple[str, ...]


def read(directory: Path) -> list[dict[str, Any]]:
    """Every run's document there."""
    files = sorted(directory.glob("seed-*.json"), key=lambda path: (len(path.name), path.name))
    return [json.loads(path.read_text()) for path in files]


def summed(runs: Sequence[dict[str, Any]]) -> Summary:
    """All of them together."""
    tried: Counter[str] = Counter()
    survived: Counter[str] = Counter()
    for run in runs:
        for family, count in run["families"].items():
            tried[family] += count["tried"]
            survived[family] += count["survived"]
    return Summary(
        seeds=tuple(_name(run) for run in runs),
        seconds=sum(run["seconds"] for run in runs),
        storms=sum(len(run["converged"]["each"]) for run in runs),
        tried=tried,
        survived=survived,
        kinds=tuple(_kinds(runs)),
        converged=tuple(took for run in runs for took in run["converged"]["each"]),
        sent=sum(run["flows"]["sent"] for run in runs),
        lost_untouched=sum(run.get("lost_untouched", 0) for run in runs),
        lease_changes=sum(run["lease_changes"] for run in runs),
        violations=tuple(f"seed {_name(run)}: {line}" for run in runs for line in run["violations"]),
    )


def _name(run: dict[str, Any]) -> str:
    backend = run.get("backend", "vxlan")
    return f"{run['seed']}" if backend == "vxlan" else f"{run['seed']} ({backend})"


def _kinds(runs: Iterable[dict[str, Any]]) -> Iterator[KindSum]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for row in run["kinds"]:
            rows.setdefault(row["name"], []).append(row)
    for name, several in sorted(rows.items(), key=lambda item: (item[1][0]["family"], item[0])):
        yield KindSum(
            name=name,
            family=several[0]["family"],
            struck=sum(row["struck"] for row in several),
            alone_gap=max(row["alone_gap"] for row in several),
            alone_after=max(row["alone_after"] for row in several),
            shared_gap=max(row["shared_gap"] for row in several),
        )


def told(found: Summary) -> str:
    """As Markdown, for the terminal and the documentation."""
    took = found.converged or (0.0,)
    lines = [
        "| fault | family | struck | longest gap, s | of it after the fault, s |",
        "|---|---|--:|--:|--:|",
        *map(_row, found.kinds),
        "",
        "| family | tried | survived |",
        "|---|--:|--:|",
        *(
            f"| {family} | {count} | {found.survived[family]} |"
            for family, count in sorted(found.tried.items())
        ),
        "",
        f"seeds run: {', '.join(found.seeds)}; {found.seconds / 60:.0f} minutes, {found.storms} storms",
        f"converged after: median {median(took):.2f} s, worst {max(took):.2f} s",
        f"packets: {found.sent} sent; {found.lost_untouched} lost between hosts that no fault touched",
        f"lease changes watched: {found.lease_changes}",
        f"violations: {len(found.violations)}",
        *found.violations,
    ]
    return "\n".join(lines)


def _row(row: KindSum) -> str:
    name = row.name.replace("_", " ")
    return f"| {name} | {row.family} | {row.struck} | {row.alone_gap:.2f} | {row.alone_after:.2f} |"
