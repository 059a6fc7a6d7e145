"""The session with etcd: every request has a deadline, fails over, renews its token, and raises only `StoreError`s.

Owns the calls; how often and where one is tried is `attempts`'. Must not know flannel's keys or decide about leases. It
runs on grpc.aio over the etcd3 package's builders (`wire.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import grpc
import grpc.aio

from flanpy.clock import Clock, SystemClock
from flanpy.errors import LeaseGone, ReplyTooLarge, StoreCompacted, StoreUnavailable
from flanpy.model.address import IPAddress
from flanpy.printable import on_one_line
from flanpy.store import etcdpb as pb
from flanpy.store.endpoint import Endpoint
from flanpy.store.head import Head
from flanpy.store.port import DeleteKey, KeyValue, LeaseState, PutKey, ServerStatus, Snapshot, Txn, TxnResult
from flanpy.store.record import StoreRecord, StoreStats
from flanpy.store.session import wire
from flanpy.store.session.attempts import Attempts
from flanpy.store.session.auth import Metadata, Tokens
from flanpy.store.session.channel import Connections, Stubs
from flanpy.store.session.local_ends import local_ends
from flanpy.store.session.saving import saved
from flanpy.store.session.settings import EtcdSettings
from flanpy.store.session.stream import WatchCanceled, WatchStream
from flanpy.store.session.watch import PrefixWatch, WatchPace

# Keys read in one request: bounds a reply's size, and how long decoding it keeps the event loop busy.
PAGE = 2000
_LONGEST_VERSION = 32


class EtcdSession:
    """A `port.Store` on a real etcd. Use as an async context manager; nothing is sent before the first call."""

    def __init__(
        self, settings: EtcdSettings, *, clock: Clock | None = None, pace: WatchPace | None = None
    ) -> None:
        """Raises `ConfigError` for an endpoint that cannot be used."""
        _protect(settings.password)
        self.settings = settings
        self._clock = clock or SystemClock()
        self._pace = pace or WatchPace()
        self._connections = Connections(settings)
        self._record = StoreRecord(self._clock)
        self._tokens = Tokens(self._connections, self._record)
        self._watches: WeakSet[PrefixWatch] = WeakSet()
        self._attempts = Attempts(
            settings, self._connections, record=self._record, tokens=self._tokens, clock=self._clock
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the watches, close the channels. Calls in flight raise `StoreUnavailable`."""
        self._attempts.close()
        for watch in tuple(self._watches):
            await watch.aclose()
        await self._connections.close()

    def reconnect(self, reason: str) -> None:
        """Leave the present connection for a new one, and list every watch again on that.

        For when this host's address changed: a TCP connection from the old one is dead, but takes 13 s to show it.
        """
        self._connections.renew()
        for watch in tuple(self._watches):
            watch.relist(reason)

    def addresses_changed(self, gone: Collection[IPAddress]) -> None:
        """Connect again if a connection to etcd has one of these as its local address."""
        if gone and self.stands_on(gone):
            self.reconnect("underlay_address_changed")

    def stands_on(self, addresses: Collection[IPAddress]) -> bool:
        """Report whether a connection to etcd has one of these as its local address."""
        return not local_ends({each.port for each in self.endpoints}).isdisjoint(addresses)

    @property
    def is_list(self) -> bool:
        """See `port.StoreSession`."""
        return False

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return etcd's members, as the settings name them."""
        return self._connections.endpoints

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return nothing: calls and watches carry a session with etcd."""
        return {}

    def use(self, settings: EtcdSettings) -> None:
        """Take other settings from the next call on. Raises `ConfigError`, and everything stays as it was then.

        Watches list again if they had to leave their connection, because the new endpoint may be another cluster's.
        """
        moved = self._connections.change(settings)
        _protect(settings.password)
        before, self.settings = self.settings, settings
        self._attempts.settings = settings
        if (before.username, before.password) != (settings.username, settings.password):
            self._tokens.forget()
        if moved:
            for watch in tuple(self._watches):
                watch.relist("settings_changed")

    @property
    def record(self) -> StoreRecord:
        """Counters and outages, for the watches."""
        return self._record

    @property
    def stats(self) -> StoreStats:
        """Counters and outages, for the metrics."""
        return self._record.snapshot()

    @property
    def cluster_id(self) -> int:
        """The cluster that answered last; 0 before the first answer."""
        return self._attempts.cluster_id

    @property
    def head(self) -> Head:
        """Return what the last answer said of its store."""
        return self._attempts.head

    async def get(self, key: str) -> KeyValue | None:
        """See `port.KeyStore`."""
        return await self.read_at(key, 0)

    async def read_at(self, key: str, revision: int) -> KeyValue | None:
        """The key as it was at `revision` (0: now). `StoreCompacted` if etcd does not have that revision."""
        reply = await self._range("get", wire.range_request(wire.encode_key(key), revision=revision))
        return wire.key_value(reply.kvs[0]) if reply.kvs else None

    async def list(self, prefix: str) -> Snapshot:
        """See `port.KeyStore`. Read in pages, all at the first page's revision."""
        try:
            return await self._pages(prefix)
        except StoreCompacted:  # between two pages
            return await self._pages(prefix)

    async def _pages(self, prefix: str) -> Snapshot:
        start, end = wire.prefix_range(prefix)
        items: list[KeyValue] = []
        revision, more, page = 0, True, PAGE
        while more:
            request = wire.range_request(start, end, limit=page, revision=revision)
            try:
                reply = await self._range("list", request)
            except ReplyTooLarge:  # etcd takes values of 1.5 MB: 48 of those fill a message
                if page == 1:
                    raise
                page //= 2
                continue
            items.extend(map(wire.key_value, reply.kvs))
            revision = revision or reply.header.revision
            more = reply.more and bool(reply.kvs)
            if more:
                start = reply.kvs[-1].key + b"\0"
        return Snapshot(tuple(items), revision)

    async def txn(self, txn: Txn) -> TxnResult:
        """See `port.KeyStore`."""
        request = wire.txn_request(txn)
        reply = await self._attempts.ask("txn", lambda stubs: stubs.kv.Txn, request)
        return wire.txn_result(reply)

    async def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        """See `port.KeyStore`."""
        return (await self.txn(Txn(success=(PutKey(key, value, lease_id),)))).revision

    async def delete(self, key: str) -> bool:
        """See `port.KeyStore`."""
        request = wire.txn_request(Txn(success=(DeleteKey(key),)))
        reply = await self._attempts.ask("delete", lambda stubs: stubs.kv.Txn, request)
        return bool(reply.responses[0].response_delete_range.deleted)

    async def grant(self, ttl: int, lease_id: int = 0) -> int:
        """See `port.LeaseStore`. A grant whose answer was lost leaves a lease without keys, which ends by itself.

        With `lease_id` the lease gets that one, as it has in the store that its keys are copied from.
        """
        request = pb.LeaseGrantRequest(TTL=ttl, ID=lease_id)
        reply = await self._attempts.ask("grant", lambda stubs: stubs.lease.LeaseGrant, request)
        return int(reply.ID)

    async def save(self, write: Callable[[bytes], None]) -> None:
        """Hand all of etcd's file to `write`, piece by piece, with its checksum at the end, at one moment of etcd's."""
        await self._attempts.call(
            "snapshot", lambda stubs, sent: saved(stubs, sent, write, within=self._connections.deadline)
        )

    async def revoke(self, lease_id: int) -> None:
        """See `port.LeaseStore`."""
        request = pb.LeaseRevokeRequest(ID=lease_id)
        try:
            await self._attempts.ask(
                "revoke", lambda stubs: stubs.lease.LeaseRevoke, request, repeatable=True
            )
        except LeaseGone:
            return

    async def keep_alive(self, lease_id: int) -> int:
        """See `port.LeaseStore`. One short stream per beat: a long one would hide a hung server."""
        reply = await self._attempts.call(
            "keep_alive", lambda stubs, sent: self._beat(stubs, sent, lease_id), repeatable=True
        )
        if reply.TTL <= 0:
            raise self._lease_gone(lease_id)
        return int(reply.TTL)

    async def time_to_live(self, lease_id: int) -> LeaseState:
        """See `port.LeaseStore`."""
        request = pb.LeaseTimeToLiveRequest(ID=lease_id, keys=True)
        reply = await self._attempts.ask(
            "time_to_live", lambda stubs: stubs.lease.LeaseTimeToLive, request, repeatable=True
        )
        if reply.TTL < 0:
            raise self._lease_gone(lease_id)
        return LeaseState(reply.grantedTTL, reply.TTL, tuple(map(wire.decode_key, reply.keys)))

    async def status(self) -> ServerStatus:
        """The member in use, as it sees itself."""
        request = pb.StatusRequest()
        reply = await self._attempts.ask(
            "status", lambda stubs: stubs.maintenance.Status, request, repeatable=True
        )
        header = reply.header
        return ServerStatus(
            endpoint=self.stats.endpoint,
            version=reply.version,
            db_size=reply.dbSize,
            member=header.member_id,
            leader=reply.leader,
            revision=header.revision,
            errors=tuple(reply.errors),
        )

    async def server_version(self) -> str:
        """See `port.StoreSession`."""
        return on_one_line((await self.status()).version)[:_LONGEST_VERSION]

    def watch(self, prefix: str) -> PrefixWatch:
        """See `port.WatchStore`."""
        watch = PrefixWatch(self, prefix, pace=self._pace)
        self._watches.add(watch)
        return watch

    async def open_stream(self, prefix: str, revision: int) -> tuple[WatchStream, pb.WatchResponse]:
        """A watch of `prefix` from `revision` on, started, and etcd's first reply.

        With a token that ended since the last request etcd 3.5 opens the watch and cancels it at once for want of
        permission: that is tried again with a new one.
        """
        try:
            return await self._open_stream(prefix, revision)
        except WatchCanceled:
            if not self.settings.username:
                raise
        return await self._open_stream(prefix, revision)

    async def _open_stream(self, prefix: str, revision: int) -> tuple[WatchStream, pb.WatchResponse]:
        self._attempts.refuse_if_closed()
        metadata = await self._attempts.metadata()
        connection = self._connections.acquire()
        stream = WatchStream(connection, metadata, partial(self._connections.release, connection))
        started = self._clock.monotonic()
        try:
            created = await stream.start(prefix, revision, within=self._connections.deadline)
            self._attempts.refuse_overtaken(created.header, connection)
        except BaseException as error:  # noqa: BLE001 - translated, and raised again in every case
            await stream.close()
            if isinstance(error, WatchCanceled):
                self._tokens.rejected(metadata)
            self._attempts.raise_translated(error, connection, metadata)
        self._record.answered("watch", connection.endpoint, self._clock.monotonic() - started)
        return stream, created

    async def next_reply(
        self, stream: WatchStream, interrupt: asyncio.Future[None], pace: WatchPace
    ) -> pb.WatchResponse | None:
        """`WatchStream.next`, its failures translated."""
        try:
            reply = await stream.next(interrupt, silence=pace.silence, answer=pace.answer)
        except (grpc.aio.AioRpcError, StoreUnavailable) as error:
            self._attempts.raise_translated(error, stream.connection, ())
        if reply is not None:
            self._record.heard()
        return reply

    async def _range(self, operation: str, request: pb.RangeRequest) -> pb.RangeResponse:
        reply: pb.RangeResponse = await self._attempts.ask(
            operation, lambda stubs: stubs.kv.Range, request, repeatable=True
        )
        return reply

    async def _beat(self, stubs: Stubs, metadata: Metadata, lease_id: int) -> Any:
        call = stubs.lease.LeaseKeepAlive(timeout=self._connections.deadline, metadata=metadata)
        try:
            with suppress(asyncio.InvalidStateError):  # it failed already: reading tells why
                await call.write(pb.LeaseKeepAliveRequest(ID=lease_id))
            reply = await call.read()
        finally:
            call.cancel()
        if reply is grpc.aio.EOF:
            raise StoreUnavailable(
                f"etcd at {self._connections.endpoint} ended the keepalive: see that it runs"
            )
        return reply

    def _lease_gone(self, lease_id: int) -> LeaseGone:
        return LeaseGone(f"lease {lease_id:x} ended in etcd at {self._connections.endpoint}: take a new one")


def _protect(password: str) -> None:
    if password:
        from flanpy.log import protect  # noqa: PLC0415 - see `record.logger`

        protect(password)
