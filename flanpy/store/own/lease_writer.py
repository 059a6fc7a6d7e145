"""The writes of the keeper: guarded transactions on our subnet key, and the etcd leases behind them.

Owns the set of etcd leases granted to us, and those without a key. Every write compares first; none is repeated here: a
lost answer raises `StoreUnavailable`, the caller lists again, and a write possibly in flight is made harmless by
revoking its etcd lease (a late transaction then fails, a done one is undone). Must not decide what to write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from flanpy.errors import LeaseGone
from flanpy.model.lease import Lease, LeaseRecord, SubnetKey
from flanpy.store.port import Compare, CompareTarget, DeleteKey, KeyStore, LeaseStore, PutKey, Txn, key_absent
from flanpy.store.schema import encode_record


class LeaseTable(KeyStore, LeaseStore, Protocol):
    """The keeper's view of a store."""


class LeaseWriter:
    """Writes below one subnets prefix, with etcd leases of `ttl` seconds."""

    def __init__(self, store: LeaseTable, prefix: str, *, ttl: int) -> None:
        """`prefix` is that of `schema.subnets_prefix`."""
        self._store = store
        self._prefix = prefix
        self._ttl = ttl
        self._spare = 0
        self._loose: set[int] = set()

    async def create(
        self,
        key: SubnetKey,
        record: LeaseRecord,
        *,
        guard: Iterable[Compare],
        replaces: Lease | None = None,
    ) -> Lease | None:
        """Create the key; return None if another host was faster; the etcd lease is then kept for the next try."""
        lease_id = await self._grant()
        path = self._path(key)
        compare = [key_absent(path), *guard]
        success: list[PutKey | DeleteKey] = [PutKey(path, encode_record(record), lease_id)]
        if replaces is not None:
            compare.append(self._unchanged(replaces))
            success.append(DeleteKey(self._path(replaces.key)))
        revision = await self._commit(Txn(tuple(compare), tuple(success)), lease_id)
        if revision is None:
            return None
        self._spare = 0
        if replaces is not None and replaces.lease_id:
            self._loose.add(replaces.lease_id)
        return Lease(key, record, lease_id, revision, revision)

    async def rewrite(self, lease: Lease, record: LeaseRecord) -> Lease | None:
        """Replace the value in place, bound to the same etcd lease or none; return None if the key has changed."""
        put = PutKey(self._path(lease.key), encode_record(record), lease.lease_id)
        result = await self._store.txn(Txn((self._unchanged(lease),), (put,)))
        if not result.succeeded:
            return None
        return Lease(lease.key, record, lease.lease_id, lease.create_revision, result.revision)

    async def rebind(self, lease: Lease) -> Lease | None:
        """Bind the key to a new etcd lease of our TTL; return None if the key changed meanwhile."""
        lease_id = await self._grant()
        put = PutKey(self._path(lease.key), encode_record(lease.record), lease_id)
        revision = await self._commit(Txn((self._unchanged(lease),), (put,)), lease_id)
        if revision is None:
            return None
        self._spare = 0
        self._loose.add(lease.lease_id)
        return Lease(lease.key, lease.record, lease_id, lease.create_revision, revision)

    async def delete(self, lease: Lease) -> bool:
        """Delete the key if it is unchanged, and end its etcd lease; report whether it was deleted."""
        result = await self._store.txn(Txn((self._unchanged(lease),), (DeleteKey(self._path(lease.key)),)))
        if result.succeeded and lease.lease_id:
            self._loose.add(lease.lease_id)
        return result.succeeded

    def abandon(self, lease_id: int) -> None:
        """Note that no key of ours uses this etcd lease any more."""
        self._loose.add(lease_id)

    async def revoke_loose(self, *, bound: int) -> None:
        """End the etcd leases that no key of ours needs; `bound` is the id of the one in use."""
        self._loose -= {bound, 0}
        for lease_id in sorted(self._loose):
            await self._store.revoke(lease_id)
            self._loose.discard(lease_id)

    async def revoke_all(self) -> None:
        """End all etcd leases, the spare one too, when no key of ours is left."""
        self._loose.add(self._spare)
        self._spare = 0
        await self.revoke_loose(bound=0)

    async def _grant(self) -> int:
        if not self._spare:
            self._spare = await self._store.grant(self._ttl)
        return self._spare

    async def _commit(self, txn: Txn, lease_id: int) -> int | None:
        """Commit; return the write's revision, or None if a compare failed. On any error the lease counts as unused."""
        try:
            result = await self._store.txn(txn)
        except LeaseGone:
            self._spare = 0
            raise
        except BaseException:
            # Cancelled or unanswered: it may have happened, or may yet.
            self._spare = 0
            self._loose.add(lease_id)
            raise
        return result.revision if result.succeeded else None

    def _path(self, key: SubnetKey) -> str:
        return f"{self._prefix}{key}"

    def _unchanged(self, lease: Lease) -> Compare:
        return Compare(self._path(lease.key), CompareTarget.MOD_REVISION, lease.mod_revision)
