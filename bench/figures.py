"""The results of a benchmark: figures with their samples and targets, and the little arithmetic behind them.

Pure: it measures nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """The relation of a figure to its target."""

    MET = "met"
    MISSED = "MISSED"
    REPORTED = ""


@dataclass(frozen=True, slots=True)
class Spread:
    """Middle, quartiles and extremes of some samples."""

    median: float
    low: float
    high: float
    least: float
    most: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Spread:
        """Of one sample or more; quartiles are inclusive, so they never leave the samples' range."""
        if len(samples) == 1:
            return cls(*[samples[0]] * 5)
        low, middle, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(middle, low, high, min(samples), max(samples))


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. `samples` are single runs; its value is their median.

    `at_most` or `at_least` is the target, if there is one. `flannel` is what flannel took on the same kind of machine
    in an earlier run of its own. `note` says what exactly was measured.
    """

    id: str
    what: str
    unit: str
    samples: tuple[float, ...]
    at_most: float | None = None
    flannel: str = ""
    note: str = ""
    at_least: float | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f"{self.id}: no samples")

    @property
    def part(self) -> str:
        """The part of the benchmark that it comes from: the first word of its id."""
        return self.id.partition(".")[0]

    @property
    def value(self) -> float:
        """The median of the samples."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> Spread:
        """Return the spread of the samples."""
        return Spread.of(self.samples)

    @property
    def verdict(self) -> Verdict:
        """Tell whether the value keeps to the target."""
        if self.at_most is None and self.at_least is None:
            return Verdict.REPORTED
        high = self.at_most is not None and self.value > self.at_most
        low = self.at_least is not None and self.value < self.at_least
        return Verdict.MISSED if high or low else Verdict.MET

    @property
    def strain(self) -> float | None:
        """Return the ratio of the value to its target: 1 is just met, less is better; None where there is none
        that divides."""
        if self.at_least is not None:
            return self.at_least / self.value if self.value else None
        return self.value / self.at_most if self.at_most else None


def figure(
    id: str,  # noqa: A002 - the domain's own word
    what: str,
    unit: str,
    samples: Iterable[float] | float,
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    flannel: str = "",
    note: str = "",
) -> Figure:
    """A figure of many samples, or of one."""
    taken = (samples,) if isinstance(samples, float | int) else tuple(samples)
    return Figure(id, what, unit, tuple(map(float, taken)), at_most, flannel, note, at_least)


def paired_ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    """Ours divided by theirs, run by run; both were measured in turn, so the n-th of each belong together."""
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(samples)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]
