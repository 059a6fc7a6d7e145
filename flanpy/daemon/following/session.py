"""The session of a member that follows its cluster's store.

Owns the watch of all keys, the copy of them on the disk, the record of the store's place, and the search for the store
while it does not answer. Must not judge which store counts: the session refuses one that was replaced
(`EtcdSettings.expected`).

A store that was promoted is at one of the members' addresses, which the copy has. So they are asked, all at once,
whether they listen at the store's port, and those that do are tried beside the known endpoints. The record that is
found there is the newer place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from flanpy.clock import Clock
from flanpy.cluster import copy as copies
from flanpy.cluster import place as places
from flanpy.cluster.copy import Copy
from flanpy.cluster.place import KEY
from flanpy.cluster.records import PREFIX
from flanpy.config import Settings
from flanpy.config.etcd import at_place, store_settings
from flanpy.errors import HostError, StoreError
from flanpy.host.disk_work import DiskWork, in_time
from flanpy.log import get_logger
from flanpy.model.address import bracketed
from flanpy.store.port import Delta, KeyValue, News, Snapshot, Stale
from flanpy.store.session.etcd import EtcdSession

log = get_logger()

KEEP_S: Final = 1.0
"""Seconds for which changes of keys wait for more of them, until the copy is written."""
SEARCH_S: Final = 3.0
"""Seconds between two searches while the store does not answer."""
_TCP_PROBE_S: Final = 2.0


class FollowingSession(EtcdSession):
    """A session that goes where the cluster's store goes. Nothing of the rest of the daemon changes for that."""

    def __init__(self, settings: Settings, *, clock: Clock) -> None:
        """Raises `ConfigError` for endpoints that cannot be used."""
        super().__init__(store_settings(settings), clock=clock)
        self._host = settings
        self._place = places.remembered(settings.state_dir)
        self._items: dict[str, KeyValue] = {}
        self._revision = 0
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        path = settings.state_dir / copies.FILE
        self._disk: DiskWork[None] = DiskWork(path, done=lambda _: None, failed=_not_kept)

    def follow_settings(self, settings: Settings) -> None:
        """Take other settings of the host. Raises `ConfigError`, and all stays as it was."""
        self.use(store_settings(settings))
        self._host = settings

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what runs beside the daemon's other tasks."""
        return {"store_place": self._follow(), "store_copy": self._keep(), "store_search": self._search()}

    async def _follow(self) -> None:
        while True:
            # An etcd may hold what is not the cluster's, and needs no copy.
            embedded = self._place is None or self._place.embedded
            watch = self.watch("/" if embedded else PREFIX)
            try:
                async for news in watch:
                    await self._take(news)
                    if (self._place is None or self._place.embedded) is not embedded:
                        break
            finally:
                await watch.aclose()

    async def _take(self, news: News) -> None:
        if isinstance(news, Stale):
            self._lost.set()
            return
        self._lost.clear()
        match news:
            case Snapshot(items, revision):
                self._items = {item.key: item for item in items}
                self._revision = revision
            case Delta(puts, deletes, revision):
                self._items.update({item.key: item for item in puts})
                for gone in deletes:
                    self._items.pop(gone.key, None)
                self._revision = revision
            case _:
                return
        await self._look_at_place()
        self._changed.set()

    async def _look_at_place(self) -> None:
        """Go on to the place that the store itself names, if it is a newer one."""
        found = self._items.get(KEY)
        place = places.place_of(found.value) if found else None
        if place is None or (self._place is not None and place.rank <= self._place.rank):
            return
        directory = self._host.state_dir
        with suppress(HostError):  # with a disk that cannot be written the next start asks again
            await in_time(directory / places.FILE, lambda: places.remember(directory, place))
        try:
            self.use(at_place(self._host, place))
        except StoreError as error:
            log.warning("store_place_refused", address=place.endpoints, error=str(error))
            return
        self._place = place
        log.info("store_place_changed", address=place.endpoints, revision=self._revision)

    async def _keep(self) -> None:
        """Write the copy a moment after each change; a store that is away or was replaced changes nothing."""
        while True:
            await self._changed.wait()
            await self._clock.sleep(KEEP_S)
            self._changed.clear()
            if self._place is not None and self._place.embedded and KEY in self._items:
                self._disk.give(self._written())

    def _written(self) -> Any:
        copied, directory = self._copied(), self._host.state_dir
        return lambda: copies.save(directory, copied)

    def _copied(self) -> Copy:
        """Return the keys as they are now."""
        items = {key: (item.value, item.lease_id) for key, item in self._items.items()}
        return Copy(self._revision, items)

    async def _search(self) -> None:
        while True:
            await self._lost.wait()
            await self._clock.sleep(SEARCH_S)
            if self._lost.is_set() and (self._place is None or self._place.embedded):
                await self._search_once()

    async def _search_once(self) -> None:
        known = store_settings(self._host)
        port = urlsplit(known.endpoints[0]).port
        hosts = {member.address for member in self._members()} - {""}
        asked = {f"https://{bracketed(host)}:{port}": host for host in hosts}
        others = {url: host for url, host in asked.items() if url not in known.endpoints}
        open_ = await asyncio.gather(*(_listens(host, port or 0) for host in others.values()))
        found = tuple(url for url, here in zip(others, open_, strict=True) if here)
        wanted = (*known.endpoints, *sorted(found))
        if wanted != self.settings.endpoints:
            log.info("store_searched", address=wanted)
            self.use(replace(known, endpoints=wanted))

    def _members(self) -> Iterable[Any]:
        if self._items:
            return self._copied().members()
        with suppress(HostError):
            kept = copies.load(self._host.state_dir)
            return kept.members() if kept else ()
        return ()


async def _listens(host: str, port: int) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_TCP_PROBE_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
    return False


def _not_kept(error: HostError) -> None:
    log.warning("store_copy_not_kept", error=str(error))
