"""Renewing the etcd lease behind our key, and noticing that it is gone.

A lease from before that was granted for another TTL is exchanged for one of ours once it is adopted.
"""

from __future__ import annotations

import math
from dataclasses import replace

from flanpy.clock import Clock
from flanpy.errors import LeaseGone
from flanpy.log import get_logger
from flanpy.model.lease import Lease
from flanpy.store.own.alarm import AT_ONCE
from flanpy.store.own.holding import Holding
from flanpy.store.own.lease_retries import LeaseRetries
from flanpy.store.own.lease_writer import LeaseTable, LeaseWriter

log = get_logger()


class Renewal:
    """Renews for one keeper."""

    def __init__(
        self, holding: Holding, store: LeaseTable, writer: LeaseWriter, *, clock: Clock, retries: LeaseRetries
    ) -> None:
        self._holding = holding
        self._store = store
        self._writer = writer
        self._clock = clock
        self._retries = retries

    async def renew(self, lease: Lease) -> float:
        """Restart the etcd lease's time; seconds until the next step. Raises StoreError."""
        holding, asked = self._holding, self._clock.monotonic()
        try:
            ttl = await self._store.keep_alive(lease.lease_id)
        except LeaseGone:
            # Its keys went with it. The listing will show; the same subnet is then taken again.
            log.warning("lease_lost", subnet=lease.key, lease_id=lease.lease_id)
            holding.unsure = True
            holding.own = replace(holding.own, renew_at=asked)
            delay = self._retries.longer()
            return delay if self._retries.failing else AT_ONCE
        adopted = holding.own.renew_at == -math.inf
        holding.hold(lease, asked + ttl, renew_at=asked + holding.terms.renew_after(ttl))
        if adopted and ttl != holding.terms.ttl:
            return await self._rebind(lease)
        await self._writer.revoke_loose(bound=lease.lease_id)
        return AT_ONCE

    async def _rebind(self, lease: Lease) -> float:
        bound = await self._writer.rebind(lease)
        if bound is None:
            self._holding.unsure = True
        else:
            self._holding.wrote(bound, granted=True)
        return AT_ONCE
