"""Giving our lease back: its key goes, unless it is a reservation, which stays and no longer says how to reach us.

The key first says that it goes on purpose: a key that merely vanishes is expected back, and peers wait for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from flanpy.model.lease import Lease, LeaseRecord
from flanpy.store.own.holding import Holding
from flanpy.store.own.lease_writer import LeaseWriter

_TRIES = 3
"""Somebody may change the key meanwhile; each further try is on a fresh listing."""


async def give_back(holding: Holding, writer: LeaseWriter, relist: Callable[[], Awaitable[None]]) -> bool:
    """Give back what is held, and every etcd lease that was granted; whether a key was deleted. Raises StoreError."""
    deleted = await _delete(holding, writer, relist)
    await writer.revoke_all()
    return deleted


async def _delete(holding: Holding, writer: LeaseWriter, relist: Callable[[], Awaitable[None]]) -> bool:
    held = holding.held
    for _ in range(_TRIES):
        if held is None:
            return False
        if held.is_reservation:
            if await writer.rewrite(held, _bare(held)) is not None:
                return False
        else:
            leaving = await writer.rewrite(held, replace(held.record, leaving=True))
            if leaving is not None and await writer.delete(leaving):
                return True
        await relist()
        found = holding.view.leases.get(str(held.key))
        held = found if found is not None and found.record.node_id == held.record.node_id else None
    return False


def _bare(lease: Lease) -> LeaseRecord:
    return replace(lease.record, backend_type="", backend_data=None, backend_data6=None, fast_path=False)
