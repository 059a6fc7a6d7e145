"""Memory of a family of failures, so that an outage costs two log lines, however long it lasts. Pure; time is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_MOST_REASONS: Final = 5


@dataclass(frozen=True, slots=True)
class Outage:
    """A finished run of failures: how long it took and how many failures it held."""

    seconds: float
    count: int


@dataclass(slots=True)
class Transition:
    """Memory of one family of failures, so that an outage costs two lines, however long it lasts.

    `failed` says whether this failure is worth a line: the first of an outage, and the first of each further reason.
    `succeeded` returns the outage it ended, or None if there was none. `now` is the monotonic clock's seconds.
    """

    since: float | None = None
    count: int = 0
    _reasons: set[str] = field(default_factory=set)

    @property
    def failing(self) -> bool:
        """Report whether the last outcome was a failure."""
        return self.since is not None

    def failed(self, now: float, *, reason: str = "", count: int = 1) -> bool:
        """Note `count` failures at once; True if a line is due, which is so for the first few reasons only."""
        if self.since is None:
            self.since = now
        self.count += count
        if reason in self._reasons or len(self._reasons) >= _MOST_REASONS:
            return False
        self._reasons.add(reason)
        return True

    def succeeded(self, now: float) -> Outage | None:
        """Note a success."""
        if self.since is None:
            return None
        outage = Outage(now - self.since, self.count)
        self.since, self.count = None, 0
        self._reasons.clear()
        return outage
