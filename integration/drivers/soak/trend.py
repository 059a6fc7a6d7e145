"""Judgement of growth: a straight line through the samples after the warm-up, and a bound on its rise. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WARM_UP = 0.25
"""This share of the run is not judged: caches fill, allocators take their room."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The allowed rise of a measure: `slack` whatever the time (noise of allocators and timers), and an amount
    per hour."""

    name: str
    unit: str
    slack: float
    per_hour: float


@dataclass(frozen=True, slots=True)
class Trend:
    """The trend of one measure: its mean, the fitted rise within the judged time, and the allowed rise.

    `whole_per_hour` is the slope with the warm-up, `late_per_hour` that of the last half: the two tell a
    measure that flattens from one that goes on.
    """

    bound: Bound
    first: float
    last: float
    mean: float
    rise: float
    seconds: float
    whole_per_hour: float = 0.0
    late_per_hour: float = 0.0

    @property
    def per_hour(self) -> float:
        """Return the slope after the warm-up, per hour."""
        return self.rise / self.seconds * 3600 if self.seconds else 0.0

    @property
    def allowed(self) -> float:
        """Return the rise that is allowed within that time."""
        return self.bound.slack + self.bound.per_hour * self.seconds / 3600

    @property
    def grows(self) -> bool:
        """Report whether the measure rose by more than that."""
        return self.rise > self.allowed


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The least-squares slope of (x, y); 0 for less than two points."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / max(1, count), sum(y for _, y in points) / max(1, count)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def judged(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points after the warm-up."""
    if not points:
        return []
    begin = points[0][0] + (points[-1][0] - points[0][0]) * WARM_UP
    return [point for point in points if point[0] >= begin]


def trend(bound: Bound, points: Sequence[tuple[float, float]]) -> Trend:
    """The trend of a measure over (seconds, value)."""
    kept = judged(points)
    seconds = kept[-1][0] - kept[0][0] if kept else 0.0
    return Trend(
        bound=bound,
        first=kept[0][1] if kept else 0.0,
        last=kept[-1][1] if kept else 0.0,
        mean=sum(value for _, value in kept) / max(1, len(kept)),
        rise=slope(kept) * seconds,
        seconds=seconds,
        whole_per_hour=slope(points) * 3600,
        late_per_hour=slope(points[len(points) // 2 :]) * 3600,
    )
