"""The running times of leases, and what of them the disk must know.

Pure: time comes in as seconds of a monotonic clock. The disk knows for each lease how much time was left when it was
last recorded. A restart gives it that much again, so the record must never be below what a client was told: a renewal
is recorded before it is answered, unless the record is as high already. A lease that nobody renews is recorded lower as
its time goes by, so that a restart does not give it all of its time again.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from flanpy.storeserver.database import LeaseRow
from flanpy.storeserver.refusal import Refusal, RefusalReason

MIN_TTL: Final = 2
"""Seconds: what an etcd with its default election timeout grants at least."""
MAX_TTL: Final = 9_000_000_000
SHARE: Final = 10
"""A record is lowered when more than a tenth of the lease's time went by since the last one, and `LEAST_STEP_S`."""
LEAST_STEP_S: Final = 60.0


def granted_ttl(asked: int) -> int:
    """Return the seconds that etcd grants for those asked for. Raises `Refusal` for more than it can count."""
    if asked > MAX_TTL:
        raise Refusal(RefusalReason.TTL_TOO_LARGE)
    return max(asked, MIN_TTL)


@dataclass(slots=True)
class Term:
    """A lease's running time. `recorded` is what the disk would give it; `ending` once its end is being written."""

    granted: int
    ends_at: float
    recorded: float
    ending: bool = False


@dataclass(slots=True)
class Terms:
    """The running times of all leases."""

    terms: dict[int, Term] = field(default_factory=dict)
    _ends: list[tuple[float, int]] = field(default_factory=list)
    """Each lease once, at the latest by its end of when it was put here: a renewal moves it when it comes up."""

    def load(self, rows: Iterable[LeaseRow], now: float) -> None:
        """Start the clocks of the leases on the disk."""
        for row in rows:
            self._start(row.id, Term(row.granted, now + row.remaining, row.remaining))

    def start(self, lease_id: int, granted: int, now: float) -> None:
        """Start the clock of a new lease."""
        self._start(lease_id, Term(granted, now + granted, float(granted)))

    def _start(self, lease_id: int, term: Term) -> None:
        self.terms[lease_id] = term
        heapq.heappush(self._ends, (term.ends_at, lease_id))

    def get(self, lease_id: int) -> Term | None:
        """Return a lease that has not ended."""
        term = self.terms.get(lease_id)
        return None if term is None or term.ending else term

    def drop(self, lease_id: int) -> None:
        """Forget a lease that ended."""
        self.terms.pop(lease_id, None)

    def next_end(self) -> float | None:
        """Return when the next lease may end, at the earliest."""
        return self._ends[0][0] if self._ends else None

    def take_ended(self, now: float) -> list[int]:
        """Return the leases whose time is up, once; they count as ended from now on."""
        ended: list[int] = []
        while self._ends and self._ends[0][0] <= now:
            _, lease_id = heapq.heappop(self._ends)
            term = self.get(lease_id)
            if term is None:
                continue
            if term.ends_at <= now:
                term.ending = True
                ended.append(lease_id)
            else:
                heapq.heappush(self._ends, (term.ends_at, lease_id))
        return ended

    def lowered(self, now: float) -> list[LeaseRow]:
        """Return the records that are so much too high that they are written again."""
        return [
            row
            for row in self.all(now)
            if self.terms[row.id].recorded - row.remaining > max(LEAST_STEP_S, row.granted / SHARE)
        ]

    def all(self, now: float) -> list[LeaseRow]:
        """Return all leases with the time that they have left."""
        return [
            LeaseRow(lease_id, term.granted, max(0.0, term.ends_at - now))
            for lease_id, term in self.terms.items()
            if not term.ending
        ]

    def recorded(self, rows: Iterable[LeaseRow]) -> None:
        """Note what the disk knows now."""
        for row in rows:
            if term := self.terms.get(row.id):
                term.recorded = row.remaining
