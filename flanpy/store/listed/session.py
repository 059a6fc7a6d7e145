"""A store whose leases stand in a list of hosts: the session that the daemon has in place of one with etcd.

Owns the reading of the list, what this host is in it, and the news of it. A list that is away or refused is news as a
lost etcd is: what is known stays. Each listed host is a reservation of flannel's schema, so the keeper of our own lease
finds ours, writes our values over it in memory, and renews nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final
from weakref import WeakSet

from flanpy.clock import Clock
from flanpy.errors import LeaseGone, ListRefused, StoreDenied, StoreError, StoreUnavailable
from flanpy.log import get_logger
from flanpy.model.address import IPAddress
from flanpy.store.endpoint import Endpoint
from flanpy.store.listed.document import HostList, ListedHost, read_list
from flanpy.store.listed.keys import ListedKeys
from flanpy.store.listed.source import ListSource
from flanpy.store.port import (
    DeleteKey,
    Deletion,
    Delta,
    KeyValue,
    LeaseState,
    News,
    Progress,
    PutKey,
    Snapshot,
    Stale,
    Txn,
    TxnResult,
)
from flanpy.store.record import StoreRecord, StoreStats
from flanpy.store.schema import config_key, encode_record, subnets_prefix

log = get_logger()

STARTED: Final = "started"


@dataclass(frozen=True, slots=True)
class ThisHost:
    """The names that our row is found by: node id, else the host's name; else an address of this host finds it."""

    node_id: str
    name: str


class ListedSession:
    """A `port.Store` out of a list. `addresses` are this host's; `tasks` must run for anything to be read."""

    def __init__(
        self,
        source: ListSource,
        prefix: str,
        me: ThisHost,
        *,
        clock: Clock,
        addresses: Callable[[], Collection[IPAddress]],
    ) -> None:
        self._source = source
        self._prefix = prefix
        self._me = me
        self._clock = clock
        self._addresses = addresses
        self._keys = ListedKeys(
            f"the leases stand in {source}, and nothing else writes them: change it there"
        )
        self._record = StoreRecord(clock)
        self._list: HostList | None = None
        self._error = f"{source} has not been read yet"
        self._reads = 0
        self._again = asyncio.Event()
        self._watches: WeakSet[ListedWatch] = WeakSet()

    # The session

    @property
    def stats(self) -> StoreStats:
        """Counters and outages, for the metrics."""
        return self._record.snapshot()

    @property
    def is_list(self) -> bool:
        """See `port.StoreSession`."""
        return True

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Return the server that the list comes from, none for a file."""
        return self._source.endpoints

    async def server_version(self) -> str:
        """Return "": no server of keys stands behind a list."""
        return ""

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name."""
        return {"host_list": self._follow()}

    def addresses_changed(self, gone: Collection[IPAddress]) -> None:
        """Look again which row is ours."""
        if self._list is not None:
            self._take(self._list)

    def reconnect(self, reason: str) -> None:
        """Read the list again, and list every watch."""
        for watch in tuple(self._watches):
            watch.relist(reason)

    async def aclose(self) -> None:
        """End the watches."""
        for watch in tuple(self._watches):
            await watch.aclose()

    # Reading

    async def _follow(self) -> None:
        with self._source.following():
            while True:
                await self._look()
                waits = [
                    asyncio.ensure_future(self._source.wait(self._clock)),
                    asyncio.ensure_future(self._again.wait()),
                ]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for wait in waits:
                        wait.cancel()

    async def _look(self) -> None:
        self._again.clear()
        started = self._clock.monotonic()
        try:
            text = await self._source.read()
            listed = self._list if text is None else read_list(text)
        except StoreError as error:
            self._failed(error)
        else:
            self._error = ""
            self._record.answered("read", self._source, self._clock.monotonic() - started)
            if listed is not None:
                self._take(listed)
        self._reads += 1
        self._wake()

    def _failed(self, error: StoreError) -> None:
        self._source.forget()
        text = f"{self._source}: {error}" if isinstance(error, ListRefused) else str(error)
        self._error = text
        self._record.failed("read", "REFUSED" if isinstance(error, ListRefused) else "UNAVAILABLE")
        self._record.lost(StoreUnavailable(text), self._source)

    def _take(self, listed: HostList) -> None:
        me = self._own(listed)
        prefix = subnets_prefix(self._prefix)
        keys = {config_key(self._prefix): listed.config.encode()}
        for host in listed.hosts:
            record = replace(host.record, node_id=self._me.node_id) if host is me else host.record
            keys[f"{prefix}{host.key}"] = encode_record(record)
        if me is None and (self._list is not listed or self._keys.own):
            log.warning(
                "host_not_listed", path=self._source, reason=self._unlisted(), count=len(listed.hosts)
            )
        self._keys.own = f"{prefix}{me.key}" if me is not None else ""
        self._list = listed
        if self._keys.take(keys):
            self._record.followed(self._keys.revision)
        self._wake()

    def _own(self, listed: HostList) -> ListedHost | None:
        """Return this host's row: by node id, else by the host's name, else by an address."""
        by_name = {host.name: host for host in listed.hosts}
        named = by_name.get(self._me.node_id) or by_name.get(self._me.name)
        if named is not None:
            return named
        addresses = self._addresses()
        return next((host for host in listed.hosts if host.is_at(addresses)), None)

    def _unlisted(self) -> str:
        addresses = ", ".join(sorted(map(str, self._addresses()))) or "none yet"
        return (
            f"no host of {self._source} is this one (node id {self._me.node_id}, name {self._me.name or 'none'},"
            f" addresses {addresses}): add it, or set node-id to the name of its row"
        )

    def _wake(self) -> None:
        for watch in tuple(self._watches):
            watch.wake()

    def _sure(self) -> None:
        if self._error:
            raise StoreUnavailable(self._error)

    # The store

    @property
    def error(self) -> str:
        """Return why the list cannot be read or used, "" if it can."""
        return self._error

    @property
    def keys(self) -> ListedKeys:
        """Return the keys, for the watches."""
        return self._keys

    @property
    def reads(self) -> int:
        """Return how often the list was read."""
        return self._reads

    def read_again(self) -> None:
        """Read the list soon."""
        self._again.set()

    async def get(self, key: str) -> KeyValue | None:
        """See `port.KeyStore`."""
        self._sure()
        return self._keys.get(key)

    async def list(self, prefix: str) -> Snapshot:
        """See `port.KeyStore`."""
        self._sure()
        return Snapshot(self._keys.below(prefix), self._keys.revision)

    async def txn(self, txn: Txn) -> TxnResult:
        """See `port.KeyStore`. Raises StoreDenied for any write but that of our own value."""
        self._sure()
        result = self._keys.run(txn)
        if any(isinstance(op, PutKey) for op in (txn.success if result.succeeded else txn.failure)):
            self._wake()
        return result

    async def put(self, key: str, value: bytes, lease_id: int = 0) -> int:
        """See `txn`."""
        return (await self.txn(Txn(success=(PutKey(key, value),)))).revision

    async def delete(self, key: str) -> bool:
        """Raise StoreDenied."""
        await self.txn(Txn(success=(DeleteKey(key),)))
        return False

    async def grant(self, ttl: int) -> int:
        """Raise StoreDenied: a host that is not listed takes no lease, and one that is needs none."""
        self._sure()
        raise StoreDenied(
            self._unlisted()
            if not self._keys.own
            else f"{self._source} lists another subnet for this host:"
            " restart flanpyd, then the containers, to move"
        )

    async def revoke(self, lease_id: int) -> None:
        """Do nothing: there are no leases to end."""

    async def keep_alive(self, lease_id: int) -> int:
        """Raise LeaseGone."""
        raise LeaseGone(f"{self._source} has no lease {lease_id:x}")

    async def time_to_live(self, lease_id: int) -> LeaseState:
        """Raise LeaseGone."""
        raise LeaseGone(f"{self._source} has no lease {lease_id:x}")

    def watch(self, prefix: str) -> ListedWatch:
        """See `port.WatchStore`."""
        watch = ListedWatch(self, prefix)
        self._watches.add(watch)
        return watch


class ListedWatch:
    """See `port.Watch`. A relisting reads the list again first, so that two listings are two readings.

    A list that is mended in part is told again: its next mistake needs another cure.
    """

    def __init__(self, session: ListedSession, prefix: str) -> None:
        self._session = session
        self._prefix = prefix
        self._reason = STARTED
        self._after = 0
        self._position = 0
        self._known: frozenset[str] = frozenset()
        self._stale = ""
        self._closed = False
        self._news = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[News]:
        return self

    async def __anext__(self) -> News:
        while not self._closed:
            self._news.clear()
            news = self._next()
            if news is not None:
                return news
            await self._news.wait()
        raise StopAsyncIteration

    def relist(self, reason: str) -> None:
        """See `port.Watch`."""
        if not self._reason:
            self._reason, self._after = reason, self._session.reads
        self._session.read_again()

    def wake(self) -> None:
        """Look at the session's keys again."""
        self._news.set()

    async def aclose(self) -> None:
        """See `port.Watch`."""
        self._closed = True
        self._news.set()

    def _next(self) -> News | None:
        session = self._session
        if session.error:
            if self._stale == session.error or not session.reads:
                return None
            self._stale = session.error
            return Stale(session.error)
        was_stale, self._stale = bool(self._stale), ""
        if self._reason and (session.reads > self._after):
            reason, self._reason = self._reason, ""
            return self._listed(reason)
        return self._changed() or (Progress(self._position) if was_stale else None)

    def _listed(self, reason: str) -> Snapshot:
        items = self._session.keys.below(self._prefix)
        self._position, self._known = self._session.keys.revision, frozenset(kv.key for kv in items)
        return Snapshot(items, self._position, reason)

    def _changed(self) -> Delta | None:
        if self._reason == STARTED:
            return None
        items, revision = self._session.keys.below(self._prefix), self._session.keys.revision
        puts = tuple(kv for kv in items if kv.mod_revision > self._position)
        keys = frozenset(kv.key for kv in items)
        deletes = tuple(Deletion(key, revision) for key in sorted(self._known - keys))
        self._position, self._known = revision, keys
        return Delta(puts, deletes, revision) if puts or deletes else None
