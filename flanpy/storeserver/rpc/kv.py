"""The service KV: reads, writes, transactions, compaction."""

from __future__ import annotations

from collections.abc import Iterable

from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import Access, Rights, leases_in
from flanpy.storeserver.rpc.calls import Context, answering
from flanpy.storeserver.store import Store


class Keys(pb.KVServicer):
    """etcdserverpb.KV."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def Range(self, request: pb.RangeRequest, context: Context) -> pb.RangeResponse:  # noqa: N802
        async with answering(context):
            self._access.of(context).read(request.key, request.range_end)
            return self._store.range(request)

    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:  # noqa: N802
        async with answering(context):
            rights = self._access.of(context)
            rights.put(request)
            self._check_leases(rights, (request.lease,))
            return await self._store.put(request)

    async def DeleteRange(  # noqa: N802
        self, request: pb.DeleteRangeRequest, context: Context
    ) -> pb.DeleteRangeResponse:
        async with answering(context):
            self._access.of(context).delete(request)
            return await self._store.delete(request)

    async def Txn(self, request: pb.TxnRequest, context: Context) -> pb.TxnResponse:  # noqa: N802
        async with answering(context):
            rights = self._access.of(context)
            rights.txn(request)
            self._check_leases(rights, leases_in(request))
            return await self._store.txn(request)

    async def Compact(  # noqa: N802
        self, request: pb.CompactionRequest, context: Context
    ) -> pb.CompactionResponse:
        async with answering(context):
            self._access.of(context).known()
            return await self._store.compact(request.revision)

    def _check_leases(self, rights: Rights, leases: Iterable[int]) -> None:
        """Let nobody bind a key to a lease whose other keys it may not write: it could end that lease."""
        if not rights.limited:
            return
        for lease_id in filter(None, leases):
            for key in self._store.lease_keys(lease_id):
                rights.write(key)
