"""Peers whose lease was deleted a moment ago: kept in the view for a breath, as most come back.

A lease that expired in a frozen etcd, was revoked, or was deleted by a careless hand is written anew by its host within
milliseconds; obeying the deletion at once would cut streams to it for nothing. One that ran out while etcd was away is
written anew when its host has found etcd again, which takes seconds. Owns which leases linger and until when.
Pure; time comes in as monotonic seconds. The keeper of our own lease must not see them: what is deleted is free.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flanpy.model.lease import Lease, LeaseView

LINGER = 0.5
"""Seconds. A host sees that its key went and writes it anew in 5 to 50 ms."""

AFTER_OUTAGE = 15.0
"""Seconds after an outage in which a lease from before it lingers. Leases that ran out go the moment etcd is back, and
hosts are back when their next attempt to connect, and what hangs of the one before, is over."""

_MOST_PAIRS = 20_000
"""Comparisons of new leases with lingering ones in one go: some milliseconds. Beyond that nobody lingers."""


@dataclass(frozen=True, slots=True)
class Lingering:
    """`leases` are by the text of their key, `until` when each is let go.

    Until `patient_until` leases not younger than `old_revision` are given longer, for etcd was away.
    """

    leases: Mapping[str, Lease] = field(default_factory=lambda: MappingProxyType({}))
    until: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    patient_until: float = -math.inf
    old_revision: int = 0

    def pause(self, now: float) -> float | None:
        """Seconds until the first is let go, None if there is none."""
        return max(0.0, min(self.until.values()) - now) if self.until else None

    def shown(self, view: LeaseView) -> LeaseView:
        """The view with those that linger; `view` itself if there are none."""
        if not self.leases:
            return view
        return replace(view, leases=MappingProxyType({**view.leases, **self.leases}))

    def after(self, before: LeaseView, view: LeaseView, now: float) -> Lingering:
        """Who lingers once `view` follows `before`.

        A deletion that etcd told of makes a lease linger, and so does its absence from the listing that ends an outage.
        What other listings lack, or an etcd with another history, is judged by the gates. Nobody lingers in the way of
        another lease.
        """
        if before.in_sync and before.stale and not view.stale:
            back = replace(self, patient_until=now + AFTER_OUTAGE, old_revision=before.revision)
            return back.joined(_missed(before, view), before, view, now)
        if not self.leases and view.deletions is before.deletions:
            return self
        return self.joined(_told(before, view), before, view, now)

    def joined(self, gone: Set[str], before: LeaseView, view: LeaseView, now: float) -> Lingering:
        """Those of these keys that were known linger too, as far as nothing speaks against it."""
        kept = {key: at for key, at in self.until.items() if at > now}
        kept |= {key: self._last(before.leases[key], now) for key in gone if key in before.leases}
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

    def _last(self, lease: Lease, now: float) -> float:
        """When a lease that was deleted now is let go."""
        soon = now + LINGER
        return max(soon, self.patient_until) if lease.mod_revision <= self.old_revision else soon


def _told(before: LeaseView, view: LeaseView) -> Set[str]:
    """What etcd said was deleted."""
    return view.deletions.keys() - before.deletions.keys()


def _missed(before: LeaseView, view: LeaseView) -> Set[str]:
    """What went while nobody looked."""
    listed = view.listings not in {before.listings, view.rewound}
    return _told(before, view) | (before.leases.keys() - view.leases.keys() if listed else set())
