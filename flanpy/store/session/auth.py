"""Our etcd token: requested with user and password, renewed when etcd rejects it.

Owns the token. Must not let password or token into a message, a log or a repr. etcd takes the token as call
metadata; grpc's call credentials, which etcd3 uses, are refused on plaintext channels. A token ends after
`--auth-token-ttl`, with a change of our user (with JWT: of any user or role), or with a restored etcd, so its end
is normal, not an error.
"""

from __future__ import annotations

import asyncio

import grpc
from grpc.aio import AioRpcError

from flanpy.store import etcdpb as pb
from flanpy.store.record import StoreRecord
from flanpy.store.session.channel import Connections
from flanpy.store.session.faults import auth_is_off, code_of
from flanpy.store.session.settings import EtcdSettings

Metadata = tuple[tuple[str, str], ...]


class Tokens:
    """The current token. All callers that find it missing share one request for a new one."""

    def __init__(self, connections: Connections, record: StoreRecord) -> None:
        """Start without a token. Without a username in the settings none is ever requested."""
        self._connections = connections
        self._record = record
        self._metadata: Metadata | None = None if self._settings.username else ()
        self._asking: asyncio.Task[Metadata] | None = None

    @property
    def _settings(self) -> EtcdSettings:
        return self._connections.settings

    def forget(self) -> None:
        """Forget the token after a change of user or password: log in again, even if the old login is in flight."""
        self._metadata = None if self._settings.username else ()
        self._asking = None

    async def metadata(self) -> Metadata:
        """Return the metadata of a call. Raises grpc's `AioRpcError` if etcd gives no token."""
        if self._metadata is not None:
            return self._metadata
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="etcd-authenticate")
            self._asking.add_done_callback(self._asked)
        # Shielded: one caller that gives up must not take the token from the others.
        return await asyncio.shield(self._asking)

    def may_be_wanted(self, error: AioRpcError) -> bool:
        """Report whether a call may have failed for lack of a token: etcd had authentication disabled before.

        Where clients show certificates, etcd 3.5 does not report that a token is needed: it takes a certificate for a
        user.
        """
        return bool(self._settings.username) and code_of(error) is grpc.StatusCode.PERMISSION_DENIED

    def rejected(self, metadata: Metadata) -> None:
        """Forget the token that was sent, unless a newer one came meanwhile.

        A timed-out request is a rejection too: a simple token names the raft index that it was made at, and an etcd
        that is behind that index, as after a restore from a backup, lets the call wait until it gets there.
        """
        if self._settings.username and metadata == self._metadata:
            self._metadata = None

    async def _ask(self) -> Metadata:
        request = pb.AuthenticateRequest(name=self._settings.username, password=self._settings.password)
        try:
            with self._connections.use() as connection:
                reply = await connection.stubs.auth.Authenticate(request, timeout=self._connections.deadline)
        except AioRpcError as error:
            self._record.failed("authenticate", code_of(error).name)
            # As etcd's own client does: a user given to a cluster without authentication is no error.
            if auth_is_off(error):
                return ()
            raise
        self._record.tokens_renewed += 1
        return (("token", reply.token),)

    def _asked(self, task: asyncio.Task[Metadata]) -> None:
        if task is not self._asking:  # for a user that is not ours any more
            return
        self._asking = None
        if not task.cancelled() and task.exception() is None:
            self._metadata = task.result()
