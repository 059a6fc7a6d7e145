"""The limits of the resolver: what one container may ask, so that others are still answered. Pure; time is given."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from flanpy.model.address import IPAddress

RATE: Final = 1000.0
"""Questions a second of one source, after a burst; the ones beyond are refused, so that Docker asks its next server."""
BURST: Final = 2000.0
MOST_SOURCES: Final = 4096
"""Sources that are remembered; beyond that the one that asked longest ago is forgotten."""

MOST_WAITING: Final = 512
"""Questions that wait for the host's servers; the ones beyond fail at once."""
MOST_WAITING_OF_ONE: Final = 128
"""The same of one source."""

MOST_CONNECTIONS: Final = 128
"""TCP connections at once; further ones are closed."""
MOST_CONNECTIONS_OF_ONE: Final = 16
IDLE_S: Final = 5.0
"""Seconds that a TCP connection may be silent, or take for a question."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Rates:
    """A bucket of questions for each source."""

    def __init__(self) -> None:
        self._buckets: OrderedDict[IPAddress, _Bucket] = OrderedDict()

    def take(self, source: IPAddress, now: float) -> bool:
        """Take one question of a source; False if it asks too much."""
        bucket = self._buckets.pop(source, None) or _Bucket(BURST, now)
        self._buckets[source] = bucket
        if len(self._buckets) > MOST_SOURCES:
            self._buckets.popitem(last=False)
        bucket.left = min(BURST, bucket.left + (now - bucket.at) * RATE)
        bucket.at = now
        if bucket.left < 1:
            return False
        bucket.left -= 1
        return True


class Turnstile:
    """Counts what is under way by source: at most `most` in all, `of_one` for each."""

    def __init__(self, most: int, of_one: int) -> None:
        self._most, self._of_one = most, of_one
        self._inside: dict[IPAddress, int] = {}
        self.total = 0

    def enter(self, source: IPAddress) -> bool:
        """Let one more in; False if there is no room."""
        count = self._inside.get(source, 0)
        if self.total >= self._most or count >= self._of_one:
            return False
        self._inside[source] = count + 1
        self.total += 1
        return True

    def leave(self, source: IPAddress) -> None:
        """Let one out that entered."""
        self.total -= 1
        self._inside[source] -= 1
        if not self._inside[source]:
            del self._inside[source]
