"""Names of containers between root's file, etcd, the disk and the resolver.

In: names.json, which root's side writes from Docker; the watch of all hosts' records; passes, for the networks that
this host is on. Out: this host's records, to etcd; answers, by the resolver; the last view, to the disk. etcd away:
names stay as last heard, and those of this host stay current.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Final

from flanpy.clock import Clock, set_within
from flanpy.config import Settings
from flanpy.daemon.latest import Latest
from flanpy.daemon.names.counts import names_counts
from flanpy.daemon.names.serving import Serving
from flanpy.errors import HostError, StoreError
from flanpy.files.news import FileNews
from flanpy.host import names_file, names_view_file
from flanpy.host.disk_work import DiskWork
from flanpy.log import get_logger
from flanpy.model.address import IPNetwork
from flanpy.model.networks.names import FLAT, NamedContainer, NamesStatus, SharedAddress, ToldNames
from flanpy.model.world import World
from flanpy.names.own import own_names
from flanpy.names.publish import KEEP_ALIVE_S, Publisher
from flanpy.names.records import names_prefix
from flanpy.names.view import NamesView, Ranges
from flanpy.outage import Transition
from flanpy.plan.host_names import own_name
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import StatusSink
from flanpy.store.port import Delta, News, Snapshot, Store

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = get_logger()

PACE_S: Final = 0.5
"""Seconds between two writes on average: every host of a network hears of each."""
AT_ONCE: Final = 4
"""Writes that may follow each other without a pause, as when Compose starts some containers."""
RETRY_S: Final = 1.0
SETTLE_S: Final = 5.0
"""Seconds between two looks whether hosts whose names ran out answer probes."""
SAVE_S: Final = 30.0
"""Seconds between two writes of the view to the disk at least: of 50,000 containers it has 4 MB. It is written at once
when etcd is lost, as a start from then on has nothing else."""
COUNT_S: Final = 2.0
"""Seconds between two counts of names at least: a count has conditions judged again."""
CLOSE_PATIENCE: Final = 2.0
_OFTEN_S, _RARELY_S = 5.0, 60.0


class NamesSide:
    """The names of one host. `tasks` are root tasks of the daemon."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        node_id: str,
        *,
        clock: Clock,
        world: Callable[[], World],
        board: StatusSink,
        latest: Latest,
    ) -> None:
        self._state_dir = settings.state_dir
        self._node_id = node_id
        self._clock = clock
        self._world = world
        self._board = board
        self._latest = latest
        self._rng = Random()
        self._file = names_file.path_of(settings.run_dir)
        self._seen: Mapping[str, tuple[NamedContainer, ...]] | None = None
        self._told: dict[str, ToldNames] = {}
        self._due, self._doubts, self._unsaved = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._hurry = asyncio.Event()
        self._outage = Transition()
        self._wrote: deque[float] = deque(maxlen=AT_ONCE)
        prefix = settings.etcd.prefix
        self._publisher = Publisher(store, prefix, node_id, clock=clock)
        self._view = NamesView(prefix, node_id)
        self._watch = store.watch(names_prefix(prefix))
        self._judged_by: object = None
        self._judged_view: object = None
        self._noted: NamesStatus | None = None
        self._shared: tuple[SharedAddress, ...] = ()
        self._joined, self._moved = asyncio.Event(), asyncio.Event()
        self._disk = DiskWork[bool](
            self._state_dir / names_view_file.FILE_NAME, done=lambda _wrote: None, failed=self._not_saved
        )
        listen = settings.dns_listen
        self._serving = (
            Serving(listen, self._view.table, world, clock=clock, changed=self._note)
            if listen is not None
            else None
        )

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name. What other hosts tell is followed for answers, and for addresses
        that are taken twice."""
        tasks = {
            "names_file": self._follow_file(),
            "names_keeper": self._keep(),
            "names_watch": self._follow(),
            "names_doubts": self._settle(),
            "names_count": self._count(),
        }
        if self._serving is not None:
            tasks |= {
                "names_view": self._save(),
                "resolver": self._serving.serve(),
                "resolv_conf": self._serving.follow_servers(),
            }
        return tasks

    def recall(self) -> None:
        """Before the tasks: take what root's side and the disk know, so that a start has answers at once."""
        if self._serving is not None:
            self._view.recall(names_view_file.load(self._state_dir, self._node_id))
        self._seen = names_file.load(self._file)
        self._look(self._world())

    def pass_done(self, outcome: Pass) -> None:
        """Take the networks that this host is on now."""
        world = outcome.world
        judged_by = (world.named.networks, world.network, world.own)
        if world.view is not self._judged_view or judged_by != self._judged_by:
            self._judged_view, self._judged_by = world.view, judged_by
            self._look(world)

    def counts(self) -> Iterable[Metric]:
        """Yield the metrics."""
        asked = self._serving.counts if self._serving is not None else None
        return names_counts(self._view.table.counts(), self._publisher.writes, asked)

    async def close(self) -> None:
        """Let the disk take what it was given, within reason. etcd keeps the names for a daemon that comes back."""
        await self._disk.settled(CLOSE_PATIENCE)

    # this host's own

    async def _follow_file(self) -> None:
        news = FileNews(self._file)

        def look() -> Mapping[str, tuple[NamedContainer, ...]] | None:
            news.arm()
            return names_file.load(self._file)

        with news.listening():
            while True:
                found = await asyncio.to_thread(look)
                if found is not None and found != self._seen:  # one that is gone or broken tells nothing new
                    self._seen = found
                    self._look(self._world())
                await news.wait(self._clock, _OFTEN_S, _RARELY_S)

    def _look(self, world: World) -> None:
        """Judge again what counts: the networks may be others, or the containers."""
        ranges = _ranges(world)
        self._view.use(ranges)
        if world.named.networks:
            self._joined.set()
        if self._seen is not None and world.network is not None:
            subnets = () if world.own is None else world.own.key.subnets
            told = own_names(self._seen, ranges, subnets, node_id=self._node_id, host=own_name(world))
            self._view.tell_own(told)
            if told != self._told:
                self._told = told
                self._due.set()
                self._moved.set()
        self._note()
        self._note_shared()

    async def _keep(self) -> None:
        """Write this host's records whenever they changed, and keep them alive, without end."""
        while True:
            await set_within(self._due, self._clock, KEEP_ALIVE_S if self._told else float("inf"))
            self._due.clear()
            try:
                wrote = await self._publisher.bring(self._told)
            except StoreError as error:
                if self._outage.failed(self._clock.monotonic(), reason=type(error).__name__):
                    log.warning("names_not_published", error=error, action="tried again")
                await self._clock.sleep(RETRY_S * self._rng.uniform(0.5, 1.5))
                self._due.set()
                continue
            self._outage.succeeded(self._clock.monotonic())
            if wrote:
                now = self._clock.monotonic()
                self._wrote.append(now)
                full = len(self._wrote) == AT_ONCE
                await self._clock.sleep(max(0.0, self._wrote[0] + AT_ONCE * PACE_S - now) if full else 0.0)

    # those of others

    async def _follow(self) -> None:
        if self._serving is None:
            await self._joined.wait()  # until then nobody here asks, and no address can be taken twice
        async for news in self._watch:
            changes, stale = self._view.changes, self._view.stale
            self._view.after(news)
            self._own_lost(news)
            self._note_shared()
            if self._view.is_doubtful:
                self._doubts.set()
            if self._view.changes != changes:
                self._unsaved.set()
                self._moved.set()
            if self._view.stale != stale:
                self._hurry.set()
                self._note()

    def _own_lost(self, news: News) -> None:
        """Write again what somebody took from etcd, or another put there."""
        found: dict[str, bytes | None] = {}
        if isinstance(news, Snapshot):
            found = dict.fromkeys(self._publisher.keys)
            found |= {kv.key: kv.value for kv in news.items}
        elif isinstance(news, Delta):
            found = dict.fromkeys((one.key for one in news.deletes), None)
            found |= {kv.key: kv.value for kv in news.puts}
        lost = [key for key, value in found.items() if self._publisher.forget(key, value)]
        if lost:
            self._due.set()

    async def _settle(self) -> None:
        """Let go of the names of hosts that neither etcd nor probes hear of, without end."""
        while True:
            await self._doubts.wait()
            self._doubts.clear()
            if self._view.settle(self._answers()):
                self._unsaved.set()
                self._note_shared()
            if self._view.is_doubtful:
                await set_within(self._doubts, self._clock, SETTLE_S)
                self._doubts.set()

    def _answers(self) -> Callable[[str], bool]:
        leases = self._world().view.leases.values()
        found = {lease.record.node_id for lease in leases if self._latest.answers(lease)}
        return lambda node_id: node_id in found

    async def _count(self) -> None:
        """Tell how many names are known, without end."""
        known: dict[str, int] = {}
        while True:
            await self._moved.wait()
            self._moved.clear()
            found = self._view.table.counts()
            if found != known:
                known = found
                self._board.note(known_names=known)
            await self._clock.sleep(COUNT_S)

    async def _save(self) -> None:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            self._hurry.clear()
            self._disk.give(partial(names_view_file.save, self._state_dir, self._node_id, self._view.known()))
            await set_within(self._hurry, self._clock, SAVE_S)

    def _not_saved(self, error: HostError) -> None:
        log.warning(
            "names_view_unsaved", error=error, action="a start without etcd answers what it learns then"
        )

    def _note_shared(self) -> None:
        shared = self._view.table.holders.shared_with(self._node_id)
        if shared != self._shared:
            self._shared = shared
            self._board.note(shared=shared)

    def _note(self) -> None:
        serving = self._serving
        if serving is None:
            return
        told = self._seen is not None
        status = NamesStatus(str(serving.listen), serving.error, told, self._view.stale, serving.servers)
        if status != self._noted:
            self._noted = status
            self._board.note(names=status)


def _ranges(world: World) -> Ranges:
    ranges: dict[str, tuple[IPNetwork, ...]] = {
        joined.network.name: tuple(
            one for one in (joined.network.subnet, joined.network.subnet6) if one is not None
        )
        for joined in world.named.networks
    }
    network = world.network
    if network is not None:
        ranges[FLAT] = tuple(one for one in (network.network, network.network6) if one is not None)
    return ranges
