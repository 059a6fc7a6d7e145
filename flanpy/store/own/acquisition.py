"""Acquisition of a subnet in competition with other hosts: the keys tried per listing, and the delays.

After a lost race it lists again after a random back-off that grows with each loss. Must not choose the candidates.
"""

from __future__ import annotations

from random import Random

from flanpy.log import get_logger
from flanpy.model.lease import Lease
from flanpy.store.own.alarm import AT_ONCE
from flanpy.store.own.holding import Holding
from flanpy.store.own.lease_step import Acquire
from flanpy.store.own.lease_writer import LeaseWriter
from flanpy.store.own.overlap_guard import is_narrow, overlap_guard
from flanpy.store.own.own_lease import WantedLease

log = get_logger()

_TRIES_PER_LISTING = 8
_RACE_DELAY, _LONGEST_RACE_DELAY = 0.01, 4.0


class Acquisition:
    """Acquires for one keeper below `prefix`, that of `schema.subnets_prefix`."""

    def __init__(self, holding: Holding, writer: LeaseWriter, prefix: str, *, rng: Random) -> None:
        self._holding = holding
        self._writer = writer
        self._prefix = prefix
        self._rng = rng
        self._losses = 0

    def is_breath(self, pause: float) -> bool:
        """Report whether this pause is the back-off after a lost race, which no news of other leases may cut short."""
        return bool(self._losses) and pause <= _LONGEST_RACE_DELAY

    async def acquire(self, step: Acquire, wanted: WantedLease) -> float:
        """Create the first candidate that is free; return the seconds until the next step. Raises StoreError."""
        held = self._holding.held
        await self._writer.revoke_loose(bound=0 if held is None else held.lease_id)
        narrow = is_narrow(step.candidates[0], wanted.network)
        for key in step.candidates[: _TRIES_PER_LISTING if narrow else 1]:
            guard = overlap_guard(self._prefix, key, wanted.network, self._holding.view.revision)
            lease = await self._writer.create(key, wanted.record, guard=guard, replaces=step.replaces)
            if lease is not None:
                self._losses = 0
                return self._acquired(lease, step)
            self._losses += 1
            if step.replaces is not None:
                break
        self._holding.unsure = True
        # Near free subnets are raced for one at a time; a pair is raced for by everybody who leases any pair, so that
        # the spread must grow with the crowd, which nobody can count: it doubles until somebody gets through.
        spread = _RACE_DELAY * (self._losses if narrow else 2.0 ** min(self._losses, 16))
        return self._rng.uniform(0, min(spread, _LONGEST_RACE_DELAY))

    def _acquired(self, lease: Lease, step: Acquire) -> float:
        before = self._holding.state.lease or self._holding.held
        self._holding.wrote(lease, granted=True)
        if before is not None and before.key != lease.key:
            self._holding.publish(moved_from=before.key)
        log.info(
            "lease_acquired",
            subnet=lease.key,
            reason=step.why.value,
            lease_id=lease.lease_id,
            attempt=self._losses,
        )
        return AT_ONCE
