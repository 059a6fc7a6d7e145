"""Exponential backoff with jitter, as a value without a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random


@dataclass(slots=True)
class Backoff:
    """Delays in seconds: `first`, doubled at each failure up to `limit`, each shortened by up to a quarter."""

    first: float = 0.1
    limit: float = 30.0
    rng: Random = field(default_factory=Random)
    failures: int = 0

    def next_delay(self) -> float:
        """Note one more failure and say how long to wait before the next try."""
        delay = min(self.limit, self.first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return delay * (1 - self.rng.random() / 4)

    def reset(self) -> None:
        self.failures = 0
