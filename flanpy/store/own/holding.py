"""The state of the keeper of our own lease: the lease as last confirmed, the view, and the published state.

Every change of the held lease goes through here, so that the disk, all listeners and the next decision see the same
lease. Must not read or write etcd, and decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Unpack

from flanpy.clock import Clock
from flanpy.log import get_logger
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.store.own.lease_step import OwnState, duplicate_public_ip
from flanpy.store.own.own_lease import (
    LeaseSource,
    LeaseTerms,
    OwnLeaseChanges,
    OwnLeaseLines,
    OwnLeaseState,
    StoredLease,
)

log = get_logger()


class Holding:
    """The held lease. `own`, `view` and `terms` are the input of the next step; `unsure`: list again before deciding.

    `remember` gets the lease that the disk should hold, `abandon` an etcd lease that no key of ours uses any more.
    """

    def __init__(
        self,
        terms: LeaseTerms,
        *,
        clock: Clock,
        on_change: Callable[[OwnLeaseState], None],
        remember: Callable[[Lease | None], None],
        abandon: Callable[[int], None],
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._remember = remember
        self._abandon = abandon
        self._state = OwnLeaseState()
        self.terms = terms
        self.own = OwnState(record=LeaseRecord(None))
        self.view = LeaseView()
        self.unsure = False

    @property
    def state(self) -> OwnLeaseState:
        """Return the state published last."""
        return self._state

    @property
    def held(self) -> Lease | None:
        """Return the lease as last confirmed, by etcd or the disk."""
        return self.own.held

    @property
    def confirmed(self) -> bool:
        """Report whether etcd confirmed a lease of ours since start, and we still hold it."""
        return self.own.settled and self.own.held is not None

    @property
    def touched(self) -> bool:
        """Report whether our own key in the view, or the record we want, differs from the held lease."""
        held = self.own.held
        return held is None or self.view.leases.get(str(held.key)) != held or held.record != self.own.record

    @property
    def missing(self) -> str:
        """Return one line if the data plane uses a lease whose key etcd lacks, as far as known; else ""."""
        held = self.own.held
        if held is None or not self.own.in_use or not self.view.in_sync:
            return ""
        key = str(held.key)
        if key in self.view.leases:
            return ""
        what = "is unreadable" if any(one.key == key for one in self.view.invalid) else "is not there"
        return f"the key of {key} {what} in etcd, as of revision {self.view.revision}"

    def recall(self, stored: StoredLease | None, previous: SubnetKey | None) -> None:
        """Begin with the lease on disk, and with the subnet in an old subnet.env as a mere preference."""
        self.own = replace(self.own, previous=previous)
        if stored is None:
            return
        self.own = replace(self.own, held=stored.lease, in_use=stored.in_use)
        if stored.in_use:
            self.publish(lease=stored.lease, source=LeaseSource.DISK)

    def stand_on_disk(self) -> None:
        """Take the lease on disk, as etcd does not answer. From now on the data plane uses it."""
        held = self.own.held
        if held is not None and not self.own.settled and not self.own.in_use:
            self.own = replace(self.own, in_use=True)
            self.publish(lease=held, source=LeaseSource.DISK)

    def let_go(self, previous: SubnetKey | None) -> None:
        """Hold nothing, on purpose."""
        known = previous or self.own.previous
        self.own = replace(self.own, held=None, in_use=False, settled=False, previous=known)
        self.publish(
            lease=None,
            source=LeaseSource.NONE,
            expires_at=None,
            conflict="",
            yielded=False,
            restart_needed="",
            waiting="drained",
            missing="",
            drained=True,
        )

    def use_margin(self, seconds: float) -> bool:
        """Renew by another margin; report whether the held lease may then be due at another time."""
        self.terms = replace(self.terms, margin=seconds)
        now, expires = self._clock.monotonic(), self._state.expires_at
        if expires is None:
            return False
        due = now + self.terms.renew_after(max(expires - now, 0.0))
        self.own = replace(self.own, renew_at=min(self.own.renew_at, due))
        return True

    def wrote(self, lease: Lease, *, granted: bool) -> None:
        """Take our lease as written and confirmed by etcd. The watch's view is not taken until it has caught up."""
        now, ttl = self._clock.monotonic(), self.terms.ttl
        leases = {**self.view.leases, str(lease.key): lease}
        self.view = replace(self.view, leases=leases, revision=max(lease.mod_revision, self.view.revision))
        if granted:
            self.hold(lease, now + ttl, renew_at=now + self.terms.renew_after(ttl))
        else:
            self.hold(lease, self._state.expires_at)

    def hold(self, lease: Lease, expires_at: float | None, *, renew_at: float | None = None) -> None:
        """Take this as our lease. Without `renew_at`, one on another etcd lease is due at once: its time is unknown."""
        held = self.own.held
        moved = held is None or held.lease_id != lease.lease_id
        if moved:
            self._abandon(held.lease_id if held is not None else 0)
        if held != lease or not self.own.settled:
            self._remember(lease)
        due = renew_at if renew_at is not None else -math.inf if moved else self.own.renew_at
        self.own = replace(self.own, held=lease, in_use=True, settled=True, renew_at=due)
        self.publish(
            lease=lease,
            source=LeaseSource.ETCD,
            expires_at=None if lease.is_reservation else expires_at,
            waiting="",
            missing="",
            conflict="",
            yielded=False,
        )

    def show(self, **lines: Unpack[OwnLeaseLines]) -> None:
        """Publish lines for people, and log those that are new."""
        lines["duplicate_ip"] = duplicate_public_ip(self.own, self.view)
        for name, line in lines.items():
            if line and line != getattr(self._state, name):
                log.warning("lease_trouble_found", kind=name, reason=line)
        self.publish(**lines)

    def publish(self, **changes: Unpack[OwnLeaseChanges]) -> None:
        """Publish the state to all listeners, if anything changed."""
        state = replace(self._state, **changes)
        if state != self._state:
            self._state = state
            self._on_change(state)
