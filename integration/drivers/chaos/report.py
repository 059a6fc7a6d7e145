"""A run as a table for the terminal and as a JSON document."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from integration.drivers.chaos.run import Outcome
from integration.drivers.chaos.verdict import kind_rows, unexcused
from integration.faults.catalogue import FAULTS
from integration.faults.fault import Family


def document(outcome: Outcome) -> dict[str, Any]:
    """Return all facts of a run; times in seconds since it began."""
    return {
        "seed": outcome.seed,
        "backend": outcome.backend,
        "hosts": outcome.hosts,
        "seconds": round(outcome.ended - outcome.began, 1),
        "families": tried(outcome),
        "violations": outcome.violations,
        "converged": _converged(outcome),
        "load": outcome.load,
        "last_wrong": [window.last_wrong for window in outcome.windows],
        "lease_changes": outcome.lease_changes,
        "lost_untouched": sum(each.lost for each in unexcused(outcome.flows.losses, outcome.windows)),
        "machine_dropped": outcome.machine_dropped,
        "flows": {
            "sent": outcome.flows.sent,
            "received": outcome.flows.received,
            "losses": [
                asdict(loss) | {"begin": _since(outcome, loss.begin), "end": _since(outcome, loss.end)}
                for loss in outcome.flows.losses
            ],
        },
        "kinds": [asdict(row) for row in kind_rows(outcome.windows, outcome.flows.losses)],
        "faults": [
            {"storm": each.blow.storm, "kind": each.blow.kind, "hosts": list(each.blow.hosts)}
            | {"begin": _since(outcome, each.begin), "end": _since(outcome, each.end), "missed": each.missed}
            for window in outcome.windows
            for each in window.struck
        ],
    }


def _since(outcome: Outcome, at: float) -> float:
    return round(at - outcome.began, 3)


def _converged(outcome: Outcome) -> dict[str, Any]:
    took = [round(each, 2) for each in outcome.converged]
    return {
        "each": took,
        "median": round(median(took), 2) if took else None,
        "worst": max(took, default=None),
    }


def tried(outcome: Outcome) -> dict[str, dict[str, int]]:
    """By family: faults that struck, and those after which all was well again."""
    struck: Counter[Family] = Counter()
    survived: Counter[Family] = Counter()
    last = outcome.windows[-1].storm if outcome.windows else 0
    for window in outcome.windows:
        lost = bool(outcome.violations) and window.storm == last
        for each in window.struck:
            family = FAULTS[each.blow.kind].family
            struck[family] += not each.missed
            survived[family] += not each.missed and not lost
    return {
        family.value: {"tried": struck[family], "survived": survived[family]} for family in outcome.families
    }


def _words(outcome: Outcome) -> str:
    took = _converged(outcome)
    load = f"load {max(outcome.load, default=0)} a core"
    return f"median {took['median']} s, worst {took['worst']} s, {len(outcome.windows)} storms; {load}"


def _packets(outcome: Outcome) -> str:
    flows = outcome.flows
    untouched = sum(loss.lost for loss in unexcused(flows.losses, outcome.windows))
    return (
        f"{flows.sent} sent, {flows.received} received; {untouched} lost between untouched hosts,"
        f" {outcome.machine_dropped} dropped by this machine"
    )


def write(outcome: Outcome, path: Path) -> None:
    """Write the document into a file."""
    path.write_text(json.dumps(document(outcome), indent=1) + "\n")


def table(outcome: Outcome) -> str:
    """Return the summary of a run: the faults by kind and family, packets, time to converge, violations."""
    lines = [
        f"{'fault':24} {'family':8} {'struck':>6} {'gap alone':>11} {'beyond fault':>13} {'gap shared':>11}"
    ]
    lines += [
        f"{row.name:24} {row.family:8} {row.struck:6} {row.alone_gap:9.2f} s"
        f" {row.alone_after:11.2f} s {row.shared_gap:9.2f} s"
        for row in kind_rows(outcome.windows, outcome.flows.losses)
    ]
    families = ", ".join(
        f"{name} {count['survived']}/{count['tried']}" for name, count in tried(outcome).items()
    )
    lines += [
        "",
        f"faults survived/tried  {families}",
        f"converged after        {_words(outcome)}",
        f"packets                {_packets(outcome)}",
        f"lease changes watched  {outcome.lease_changes}",
        f"violations             {len(outcome.violations)}",
        *(f"  {line}" for line in outcome.violations),
    ]
    return "\n".join(lines)
