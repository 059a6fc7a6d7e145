"""The two verdicts, computed once for every view: whether this host works, and whether the cluster does.

This host's follows from its conditions alone; the cluster's from what all hosts measured. A cause is told once, with
what follows from it beneath; nothing counts as well because it could not be measured. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.reach import Reach
from flanpy.printable import plural
from flanpy.status.judge.causes import root_causes
from flanpy.status.judge.conditions import NEEDED_TO_BE_READY, Phase

Document = Mapping[str, Any]

_BAD = frozenset({Reach.UNREACHABLE.value, Reach.LOSSY.value})
_BRIEF = 3
_YET = frozenset({Phase.STARTING, Phase.LISTING, Phase.ACQUIRING, Phase.SYNCING})
_WAITS = frozenset(
    {
        ConditionType.RESTART_NEEDED,
        ConditionType.LEASE_SAVED,
        ConditionType.LISTENERS_UP,
        ConditionType.SUBNETS_AVAILABLE,
        ConditionType.CHECKSUM_OFFLOAD,
    }
)
"""Troubles that cost no packet now."""


class VerdictState(Enum):
    """The verdict in one word, for machines."""

    WELL = "well"
    """everything works."""
    IMPAIRED = "impaired"
    """it works, but not all of it."""
    DOWN = "down"
    """it does not work."""
    UNKNOWN = "unknown"
    """it cannot be told now; never the same as well."""


@dataclass(frozen=True, slots=True)
class SummaryLine:
    """`text` is one line, the cause first; `cause` names the condition, `follows` those that it explains."""

    state: VerdictState
    text: str
    cure: str = ""
    cause: str = ""
    follows: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "text": self.text,
            "cure": self.cure,
            "cause": self.cause,
            "follows": list(self.follows),
        }


def of_host(name: str, phase: Phase, conditions: Sequence[Condition], *, ready: bool) -> SummaryLine:
    """Judge this host by its conditions (causes first, as the board has them)."""
    if phase in {Phase.STOPPING, Phase.DRAINED}:
        words = "is drained: it takes no part" if phase is Phase.DRAINED else "is stopping"
        cure = "flanpyctl drain --undo takes part again" if phase is Phase.DRAINED else ""
        return SummaryLine(VerdictState.DOWN, f"{name} {words}", cure)
    roots = sorted(root_causes(conditions), key=lambda cause: _weight(cause, conditions))
    if not roots:
        return SummaryLine(VerdictState.WELL, f"{name} works")
    cause = roots[0]
    others = f"; {plural(len(roots) - 1, 'other trouble')}" if len(roots) > 1 else ""
    yet = phase in _YET and cause.status is Status.UNKNOWN
    how = "works, but" if ready else "is not ready yet:" if yet else "does not work:"
    text = f"{name} {how} {cause.message}{others}"
    follows = tuple(one.value for one in _following(cause, conditions))
    return SummaryLine(
        VerdictState.IMPAIRED if ready else VerdictState.DOWN, text, cause.cure, cause.type.value, follows
    )


def _weight(cause: Condition, conditions: Sequence[Condition]) -> int:
    """Order causes: what keeps this host from working, then what costs packets or may soon, then what waits."""
    if not {cause.type, *_following(cause, conditions)}.isdisjoint(NEEDED_TO_BE_READY):
        return 0
    return 2 if cause.type in _WAITS else 1


def _following(cause: Condition, conditions: Iterable[Condition]) -> tuple[ConditionType, ...]:
    """Return the unhealthy conditions that this one explains, in the order given, through others too."""
    explained = [cause.type]
    for condition in conditions:
        known = condition.healthy or condition.type in explained
        if not known and not {*explained}.isdisjoint(condition.depends_on):
            explained.append(condition.type)
    return tuple(explained[1:])


def of_cluster(mesh: Document | None) -> SummaryLine:
    """Judge the cluster by the mesh: `nodes` with names, `rows` of what each told; None before it was asked for."""
    if mesh is None:
        return SummaryLine(VerdictState.UNKNOWN, "the other hosts were not asked yet")
    names = {str(node["node_id"] or node["subnet"]): str(node["host"]) for node in mesh["nodes"]}
    if len(names) < 2:
        return SummaryLine(VerdictState.WELL, "no other host has a subnet yet")
    told = {(names[row["from"]], names[row["to"]]): row for row in mesh["rows"] if _is_of(row, names)}
    broken = {pair: row for pair, row in told.items() if row["reach"] in _BAD or row["trouble"]}
    directions = len(names) * (len(names) - 1)
    if broken:
        return _broken(broken, len(names))
    works = sum(row["reach"] == Reach.REACHABLE.value for row in told.values())
    measured = f"{works} of {plural(directions, 'direction')} work"
    if works == directions:
        return SummaryLine(VerdictState.WELL, f"{plural(len(names), 'host')}, {measured}")
    silent = [name for name in names.values() if name not in {sender for sender, _ in told}]
    who = f"; {_some(silent)} told nothing" if silent else ""
    state = VerdictState.WELL if works and not silent else VerdictState.UNKNOWN
    return SummaryLine(state, f"{plural(len(names), 'host')}, {measured}, the others are not known{who}")


def _is_of(row: Document, names: Mapping[str, str]) -> bool:
    return row["from"] in names and row["to"] in names


def _broken(broken: Mapping[tuple[str, str], Document], hosts: int) -> SummaryLine:
    links: dict[frozenset[str], list[tuple[str, str]]] = {}
    for pair in sorted(broken):
        links.setdefault(frozenset(pair), []).append(pair)
    every = hosts * (hosts - 1) // 2
    words = [_link(pairs, broken) for pairs in links.values()]
    return SummaryLine(
        VerdictState.IMPAIRED, f"{len(links)} of {plural(every, 'link')} broken: {_some(words)}"
    )


def _link(pairs: Sequence[tuple[str, str]], broken: Mapping[tuple[str, str], Document]) -> str:
    """`web-1 <-> web-2: PortBlocked`; one arrow where the other direction works, or was not told."""
    one, other = min(pairs)
    arrow = "<->" if len(pairs) > 1 else "->"
    trouble = next((str(broken[pair]["trouble"]) for pair in pairs if broken[pair]["trouble"]), "")
    return f"{one} {arrow} {other}" + (f": {trouble}" if trouble else "")


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _BRIEF} more" if len(words) > _BRIEF else ""
    return ", ".join(words[:_BRIEF]) + more
