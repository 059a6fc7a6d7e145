"""Counts of the resolver since start, as one value that is replaced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flanpy.model.histogram import ROUND_TRIPS, Histogram
from flanpy.names.resolver.answers import Outcome


@dataclass(frozen=True, slots=True)
class ResolverCounts:
    """Questions by outcome, and the seconds that those took which were answered."""

    questions: Mapping[Outcome, int] = field(default_factory=lambda: MappingProxyType({}))
    seconds: Histogram = field(default_factory=lambda: Histogram.of(ROUND_TRIPS))

    def after(self, outcome: Outcome, seconds: float) -> ResolverCounts:
        """Return the counts with one question more."""
        questions = {**self.questions, outcome: self.questions.get(outcome, 0) + 1}
        timed = outcome in {Outcome.OWN, Outcome.FORWARDED}
        took = self.seconds.with_one(seconds) if timed else self.seconds
        return replace(self, questions=MappingProxyType(questions), seconds=took)
