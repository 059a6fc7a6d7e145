"""The findings of doctor: the known problem, its evidence, and the cure. Values only."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum
from typing import Any

from flanpy.model.problem import PROBLEMS


class Severity(Enum):
    """ERROR: packets are lost, or will be soon. WARNING: it works, but should not stay so. NOTE: worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        return tuple(Severity).index(self)

    @property
    def is_unhealthy(self) -> bool:
        return self is not Severity.NOTE


@dataclass(frozen=True, slots=True)
class Repair:
    """One command that `--fix` may run. `removes`: it removes a foreign object, so a person must agree."""

    argv: tuple[str, ...]
    removes: bool = False

    def __str__(self) -> str:
        return shlex.join(self.argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`id` is of `flanpy.model.problem`, `condition` the daemon's judgement of the same, "" without one.

    `grant`: text of several lines to be copied out, ours alone. `at`: wall time of what is over already, 0 for what is
    so now. `follows` is the id of the finding that explains this one, "" if it stands for itself.
    """

    id: str
    title: str
    severity: Severity = Severity.ERROR
    condition: str = ""
    evidence: tuple[str, ...] = ()
    cure: str = ""
    grant: str = ""
    repair: Repair | None = None
    at: float = 0.0
    follows: str = ""

    @property
    def page(self) -> str:
        """Return the address of the page on this problem."""
        return PROBLEMS[self.id].page

    def as_json(self) -> dict[str, Any]:
        """Keys are stable; `fix` is a line for a shell, "" where nothing is repaired by a command."""
        return {
            "id": self.id,
            "title": self.title,
            "severity": self.severity.value,
            "condition": self.condition,
            "evidence": list(self.evidence),
            "cure": self.cure,
            "grant": self.grant,
            "fix": str(self.repair) if self.repair else "",
            "follows": self.follows,
            "page": self.page,
        }
