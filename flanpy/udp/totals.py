"""Counters of a plane that outlive its restarts: a metric must not go back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from flanpy.model.tunnel import Count
from flanpy.udp.ports import Counts


@dataclass(slots=True)
class RunningTotal:
    """The sum over incarnations: those that ended, and the present one as last heard."""

    ended: Counter[Count] = field(default_factory=Counter)
    present: Counts = field(default_factory=dict)

    def heard(self, counts: Counts) -> None:
        """Take the present incarnation's counters since its start."""
        self.present = counts

    def restarted(self) -> None:
        """From now on another incarnation counts, from zero."""
        self.ended.update(self.present)
        self.present = {}

    @property
    def counts(self) -> dict[Count, int]:
        return {count: self.ended[count] + self.present.get(count, 0) for count in Count}
