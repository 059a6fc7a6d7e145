"""The remaining time of other hosts' leases, asked of etcd for a listing, which must not wait for long."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress

from flanpy.errors import LeaseGone, StoreError
from flanpy.store.port import LeaseStore

MOST = 200
"""Leases whose remaining time is asked for: one request each."""

DEADLINE = 0.5
"""Seconds that a listing may wait for them."""


async def remaining(store: LeaseStore, leases: Iterable[int]) -> Mapping[int, float]:
    """Seconds that etcd leases have left; empty when etcd is away, slow, or there are too many to ask for."""
    asked = {lease for lease in leases if lease}
    if len(asked) > MOST:
        return {}
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(DEADLINE):
            return dict(await asyncio.gather(*(_left(store, lease) for lease in asked)))
    return {}


async def _left(store: LeaseStore, lease: int) -> tuple[int, float]:
    try:
        return lease, (await store.time_to_live(lease)).remaining
    except LeaseGone:
        return lease, 0
