"""The pace of passes: at once for single news, in groups for a burst, and never all of the time.

News of leases comes one message at a time, and one pass can serve many messages. Passes that follow each other closely
are a burst: after a few of them each waits a little longer for more news to join it, and at least as long as the last
one took. Otherwise an overloaded host would run a pass for each message and fall behind for good.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOSE = 0.01
"""Seconds between two passes that make them part of one burst."""

FREE = 4
"""Passes of a burst that do not wait."""

FIRST_PAUSE, LONGEST_PAUSE = 0.001, 0.02
"""Seconds; doubled from pass to pass."""


LONGEST_REST = 0.25
"""Seconds: the longest pause after passes that take long."""


@dataclass(slots=True)
class Pace:
    """Times are the monotonic clock's, in seconds. `took` is the elapsed time of the last pass."""

    ended_at: float = float("-inf")
    burst: int = 0
    took: float = 0.0

    def pause(self, now: float) -> float:
        """Return the seconds for which a pass due `now` should let news gather first."""
        self.burst = self.burst + 1 if now - self.ended_at < max(CLOSE, self.took) else 0
        if self.burst < FREE:
            return 0.0
        gathering = min(FIRST_PAUSE * 2.0 ** min(self.burst - FREE, 16), LONGEST_PAUSE)
        return max(gathering, min(self.took, LONGEST_REST))

    def ended(self, now: float, *, took: float = 0.0) -> None:
        """Note the end of a pass, and the time it took."""
        self.ended_at, self.took = now, took
