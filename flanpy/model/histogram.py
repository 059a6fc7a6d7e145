"""Counts of durations by size, as Prometheus wants them: a value that is replaced, never changed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

INFINITY = float("inf")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""From what a request within one machine takes to where it counts as failed."""

ROUND_TRIPS = (0.0001, 0.00025, 0.0005, *SECONDS)
"""From two hosts on one switch to where a probe counts as lost."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts` has one entry for each of `bounds`, and a last one for what is greater than all of them."""

    bounds: tuple[float, ...] = SECONDS
    counts: tuple[int, ...] = (0,) * (len(SECONDS) + 1)
    sum: float = 0.0

    @classmethod
    def of(cls, bounds: tuple[float, ...]) -> Histogram:
        """An empty one with these upper bounds, ascending."""
        return cls(bounds, (0,) * (len(bounds) + 1))

    @property
    def count(self) -> int:
        return sum(self.counts)

    def with_one(self, value: float) -> Histogram:
        """The histogram with one observation more; a bound counts what is equal to it."""
        at = bisect_left(self.bounds, value)
        counts = (*self.counts[:at], self.counts[at] + 1, *self.counts[at + 1 :])
        return Histogram(self.bounds, counts, self.sum + value)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each upper bound, infinity last, with the number of observations up to it."""
        total = 0
        for bound, count in zip((*self.bounds, INFINITY), self.counts, strict=True):
            total += count
            yield bound, total
