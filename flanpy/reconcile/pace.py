"""The pace of passes: at once for single news, in groups for a burst.

News of leases comes one message at a time, each as cheap to take in as a pass is to run for many. Passes that follow
each other closely are a burst: after a few of them each waits a little longer for more news to join it.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOSE = 0.01
"""Seconds between two passes that make them part of one burst."""

FREE = 4
"""Passes of a burst that do not wait."""

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02
"""Seconds; doubled from pass to pass."""


@dataclass(slots=True)
class Pace:
    """Times are the monotonic clock's, in seconds."""

    ended_at: float = float("-inf")
    burst: int = 0

    def pause(self, now: float) -> float:
        """How long a pass that is due `now` should let news gather first."""
        self.burst = self.burst + 1 if now - self.ended_at < CLOSE else 0
        if self.burst < FREE:
            return 0.0
        return min(FIRST_PAUSE * 2.0 ** min(self.burst - FREE, 16), LONGEST_PAUSE)

    def ended(self, now: float) -> None:
        """A pass has ended."""
        self.ended_at = now
