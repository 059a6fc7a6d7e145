"""The service Auth: logins, where the store has users."""

from __future__ import annotations

import asyncio

from flanpy.store import etcdpb as pb
from flanpy.storeserver.access import Access
from flanpy.storeserver.rpc.calls import Context, answering
from flanpy.storeserver.store import Store


class Logins(pb.AuthServicer):
    """etcdserverpb.Auth."""

    def __init__(self, store: Store, access: Access) -> None:
        self._store = store
        self._access = access

    async def Authenticate(  # noqa: N802
        self, request: pb.AuthenticateRequest, context: Context
    ) -> pb.AuthenticateResponse:
        async with answering(context):
            # Hashing a password takes long on purpose.
            name = await asyncio.to_thread(self._access.checked, request.name, request.password)
            return pb.AuthenticateResponse(header=self._store.header(), token=self._access.token_for(name))
