"""Follows all leases in etcd: the view that everybody goes by, and the peers that linger in it after their deletion.

In: the watch of the leases. Out: each change of the view, and to the status board how etcd is. The keeper of our own
lease gets the view as it is, the loop as `shown`. Must not know what a lease means for the kernel.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from flanpy.clock import Clock, set_within
from flanpy.errors import StoreError
from flanpy.model.lease import Lease, LeaseView
from flanpy.plan.moving import Step
from flanpy.status.inputs import StatusSink, StoreStatus
from flanpy.store.lease_view import fold
from flanpy.store.linger import Lingering
from flanpy.store.port import Delta, News, Snapshot, Stale, StoreSession


class LeaseWatch:
    """The leases below `prefix`, that of `schema.subnets_prefix`.

    `answers` reports whether the last probes reached a peer. `changed` is called with each step of the view, `parted`
    when peers that lingered are let go.
    """

    def __init__(
        self,
        session: StoreSession,
        prefix: str,
        *,
        clock: Clock,
        board: StatusSink,
        answers: Callable[[Lease], bool],
        changed: Callable[[Step], None],
        parted: Callable[[], None],
    ) -> None:
        self._session = session
        self._prefix = prefix
        self._clock = clock
        self._board = board
        self._answers = answers
        self._status = StoreStatus()
        self._changed = changed
        self._parted = parted
        self._watch = session.watch(prefix)
        self._view = LeaseView()
        self._lingering = Lingering()
        self._parting = asyncio.Event()
        self._contacted = False
        self._unasked = asyncio.Event()

    @property
    def view(self) -> LeaseView:
        """All leases as etcd has them, as far as we know."""
        return self._view

    @property
    def shown(self) -> LeaseView:
        """The same with those that were deleted a moment ago."""
        return self._lingering.shown(self._view)

    def relist(self, reason: str) -> None:
        """Ask etcd for a fresh listing."""
        self._watch.relist(reason)

    async def follow(self) -> None:
        """Take etcd's events of leases, without end."""
        async for news in self._watch:
            self._note_store(news)
            before, self._view = self._view, fold(self._view, news, self._prefix)
            now = self._clock.monotonic()
            self._lingering = self._lingering.after(before, self._view, now, answers=self._answers)
            if self._lingering.leases:
                self._parting.set()
            self._changed(Step(before, self._view, self._touched(news)))

    async def let_go(self) -> None:
        """Remove peers whose lease is deleted for good from the shown leases, without end."""
        while True:
            await self._parting.wait()
            self._parting.clear()
            while (pause := self._lingering.pause(self._clock.monotonic())) is not None:
                # A peer that lingers from now on may have to go sooner.
                await set_within(self._parting, self._clock, pause)
                self._parting.clear()
                self._lingering = self._lingering.after(self._view, self._view, self._clock.monotonic())
                self._parted()

    def look_again(self) -> None:
        """Note whether etcd answers others while this watch gets no listing."""
        if self._status.stale:
            self._say(replace(self._status, answers=self._session.stats.connected_since is not None))

    async def learn_version(self) -> None:
        """Ask the server for its version once after each new connection, without end."""
        while True:
            await self._unasked.wait()
            self._unasked.clear()
            # The watch tells of an outage; and a server that refuses this one call serves us all the same.
            with suppress(StoreError):
                version = await self._session.server_version()
                self._say(replace(self._status, version=version))

    def _touched(self, news: News) -> Iterable[str]:
        """Keys of the leases that may have changed by this."""
        match news:
            case Delta(puts=puts):
                return [kv.key.removeprefix(self._prefix) for kv in puts]
            case Snapshot():
                return self._view.leases
            case _:
                return ()

    def _note_store(self, news: News) -> None:
        stats = self._session.stats
        stale = isinstance(news, Stale)
        self._contacted = self._contacted or not stale
        known = self._status
        error = news.error if isinstance(news, Stale) else ""
        since = (known.outage_since or self._clock.wall()) if stale else None
        answers = stats.connected_since is not None
        moved = stats.endpoint != known.endpoint
        if not stale and (moved or known.stale):
            self._unasked.set()
        status = StoreStatus(
            endpoint=stats.endpoint,
            contacted=self._contacted,
            stale=stale,
            error=error,
            outage_since=since,
            answers=answers,
            listed=self._session.is_list,
            version="" if moved else known.version,
        )
        self._say(status)

    def _say(self, status: StoreStatus) -> None:
        if status != self._status:
            self._status = status
            self._board.note(store=status)
