"""The run of a benchmark: full or quick, and where its progress is reported."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from bench.figures import Figure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmarks. Progress goes to standard error, so that the table can be piped."""

    quick: bool = False
    started: float = field(default_factory=time.monotonic)

    def pick(self, full: T, quick: T) -> T:
        """Return the value for a full run, or the one for a quick run."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """Print the progress."""
        print(f"[{time.monotonic() - self.started:6.1f} s] {text}", file=sys.stderr, flush=True)

    def turns(self, text: str, count: int) -> Iterator[int]:
        """Count to `count`, telling each turn."""
        for turn in range(count):
            self.say(f"{text} ({turn + 1} of {count})")
            yield turn


Part = Callable[[Run], Iterable[Figure]]


def alternated(turns: Iterable[int], *sides: Callable[[], T]) -> tuple[list[T], ...]:
    """Call each side once a turn, and the other way round every second turn; what each gave, in order."""
    given: tuple[list[T], ...] = tuple([] for _ in sides)
    for turn in turns:
        pairs = list(zip(sides, given, strict=True))
        for side, into in reversed(pairs) if turn % 2 else pairs:
            into.append(side())
    return given
