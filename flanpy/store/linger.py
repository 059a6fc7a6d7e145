"""Peers whose lease was just deleted: kept in the view for a grace period, as most come back.

A lease that expired in a frozen etcd, was revoked, or was deleted by mistake is written again by its host within
milliseconds; obeying the deletion at once would cut connections for nothing. A lease that expired while etcd was away
is written again once its host has reached etcd, which takes seconds; so long may a busy host take, too, which still
answers probes. One that says beforehand that it leaves (a drain) lingers no longer than the others. Owns the set of
lingering leases and their ends. Pure; time comes in as monotonic seconds. The keeper of our own lease must not see
them: a deleted subnet is free.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flanpy.model.lease import Lease, LeaseView

LINGER = 0.5
"""Seconds. A host sees that its key went and writes it again in 5 to 50 ms."""

AFTER_OUTAGE = 15.0
"""Seconds after an outage in which a lease from before it lingers. Leases that ran out go the moment etcd is back, and
hosts are back when their next attempt to connect, and what hangs of the one before, is over."""

ANSWERING = 10.0
"""Seconds for a host that answers probes: it is there, and did not say that it leaves."""

_MOST_PAIRS = 20_000
"""Comparisons of new leases with lingering ones in one go: some milliseconds. Beyond that nobody lingers."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The times at which leases that are deleted `now` are let go; see `Lingering` for the rest."""

    now: float
    patient_until: float
    old_revision: int
    answers: Callable[[Lease], bool]

    def of(self, lease: Lease) -> float:
        """Return the time for one lease."""
        soon = self.now + LINGER
        if lease.record.leaving:
            return soon
        if lease.mod_revision <= self.old_revision:
            soon = max(soon, self.patient_until)
        return max(soon, self.now + ANSWERING) if self.answers(lease) else soon


@dataclass(frozen=True, slots=True)
class Lingering:
    """Lingering leases. `leases` are by the text of their key, `until` has the time at which each expires.

    Until `patient_until`, leases of `old_revision` and before linger longer, because etcd was away.
    """

    leases: Mapping[str, Lease] = field(default_factory=lambda: MappingProxyType({}))
    until: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    patient_until: float = -math.inf
    old_revision: int = 0

    def pause(self, now: float) -> float | None:
        """Return the seconds until the first expires, None if there is none."""
        return max(0.0, min(self.until.values()) - now) if self.until else None

    def shown(self, view: LeaseView) -> LeaseView:
        """Return the view with the lingering leases; `view` itself if there are none."""
        if not self.leases:
            return view
        return replace(view, leases=MappingProxyType({**view.leases, **self.leases}))

    def after(
        self,
        before: LeaseView,
        view: LeaseView,
        now: float,
        *,
        answers: Callable[[Lease], bool] = lambda _lease: False,
    ) -> Lingering:
        """Return the lingering leases once `view` follows `before`; `answers` says who answers probes.

        A lease lingers if etcd reported its deletion, or if it is missing from the listing that ends an outage.
        Leases missing from other listings, or from an etcd with another history, are judged by the gates. No lease
        lingers where it contends with another lease.
        """
        if before.in_sync and before.stale and not view.stale:
            back = replace(self, patient_until=now + AFTER_OUTAGE, old_revision=before.revision)
            return back.joined(_missed(before, view), before, view, back.ends(now, answers))
        if not self.leases and view.deletions is before.deletions:
            return self
        return self.joined(_told(before, view), before, view, self.ends(now, answers))

    def joined(self, gone: Set[str], before: LeaseView, view: LeaseView, ends: Ends) -> Lingering:
        """Add those of these keys that were known, unless a rule speaks against it."""
        kept = {key: at for key, at in self.until.items() if at > ends.now}
        kept |= {key: ends.of(before.leases[key]) for key in gone if key in before.leases}
        known = {**before.leases, **self.leases}
        taken = view.leases.keys() - before.leases.keys() if kept else set()
        broken = {invalid.key for invalid in view.invalid} if kept else set()
        keys = kept.keys() - taken - broken - view.leases.keys()
        if len(keys) * len(taken) > _MOST_PAIRS:
            return replace(self, leases=MappingProxyType({}), until=MappingProxyType({}))
        newcomers = [view.leases[key].key for key in taken]
        stay = {key: known[key] for key in keys if not any(map(known[key].key.overlaps, newcomers))}
        until = {key: kept[key] for key in stay}
        return replace(self, leases=MappingProxyType(stay), until=MappingProxyType(until))

    def ends(self, now: float, answers: Callable[[Lease], bool]) -> Ends:
        """Return the rule for leases that go now."""
        return Ends(now, self.patient_until, self.old_revision, answers)


def _told(before: LeaseView, view: LeaseView) -> Set[str]:
    """Return the keys that etcd reported as deleted."""
    return view.deletions.keys() - before.deletions.keys()


def _missed(before: LeaseView, view: LeaseView) -> Set[str]:
    """Return the keys that went during an outage."""
    listed = view.listings not in {before.listings, view.rewound}
    return _told(before, view) | (before.leases.keys() - view.leases.keys() if listed else set())
