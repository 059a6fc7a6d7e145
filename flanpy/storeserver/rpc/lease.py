"""The service Lease."""

from __future__ import annotations

from collections.abc import AsyncIterator

from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import Access
from flanpy.storeserver.rpc.calls import Context, answering
from flanpy.storeserver.store import Store


class Leases(pb.LeaseServicer):
    """etcdserverpb.Lease."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def LeaseGrant(  # noqa: N802
        self, request: pb.LeaseGrantRequest, context: Context
    ) -> pb.LeaseGrantResponse:
        async with answering(context):
            self._access.of(context).known()
            return await self._store.grant(request)

    async def LeaseRevoke(  # noqa: N802
        self, request: pb.LeaseRevokeRequest, context: Context
    ) -> pb.LeaseRevokeResponse:
        async with answering(context):
            rights = self._access.of(context)
            for key in self._store.lease_keys(request.ID) if rights.limited else ():
                rights.write(key)
            return await self._store.revoke(request.ID)

    async def LeaseKeepAlive(  # noqa: N802
        self, requests: AsyncIterator[pb.LeaseKeepAliveRequest], context: Context
    ) -> AsyncIterator[pb.LeaseKeepAliveResponse]:
        async for request in requests:
            async with answering(context):
                self._access.of(context).known()
                answer = await self._store.keep_alive(request.ID)
            yield answer

    async def LeaseTimeToLive(  # noqa: N802
        self, request: pb.LeaseTimeToLiveRequest, context: Context
    ) -> pb.LeaseTimeToLiveResponse:
        async with answering(context):
            rights = self._access.of(context)
            answer = self._store.time_to_live(request.ID, keys=request.keys)
            for key in answer.keys:
                rights.read(key)
            return answer

    async def LeaseLeases(  # noqa: N802
        self, _request: pb.LeaseLeasesRequest, context: Context
    ) -> pb.LeaseLeasesResponse:
        async with answering(context):
            self._access.of(context).known()
            return self._store.leases()
