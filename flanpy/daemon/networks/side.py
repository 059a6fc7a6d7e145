"""Named networks between etcd, the loop and the disk.

In: the watches of definitions and slices, passes. Out: the networks that this host is on, to the loop and to
networks.json; this host's slices, to etcd. etcd away: the last view stays, nothing is given up. Must not talk to
Docker, which makes its networks by flanpy-docker from the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from random import Random
from typing import Any, Final

from flanpy.clock import Clock, set_within
from flanpy.config import Settings
from flanpy.daemon.networks import refused
from flanpy.errors import HostError, StoreError
from flanpy.host import networks_file
from flanpy.host.disk_work import DiskWork
from flanpy.host.networks_file import SavedNetworks
from flanpy.log import get_logger
from flanpy.model.lease import LeaseRecord
from flanpy.model.networks.view import KeptOut, NamedView
from flanpy.model.world import World
from flanpy.outage import Transition
from flanpy.plan.networks import refusals
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import StatusSink
from flanpy.store.networks.book import Book
from flanpy.store.networks.keys import networks_prefix, slices_prefix
from flanpy.store.networks.steps import Wish, joined, next_steps
from flanpy.store.port import PutKey, Store, Watch

log = get_logger()

CLOSE_PATIENCE: Final = 2.0
"""Seconds that the end of the daemon waits for the disk."""

RETRY_S: Final = 1.0
"""Seconds until a refused or lost write is decided on again, if no news comes before."""


class _Reasons:
    """The reasons told last, by network, so that each is told once."""

    def __init__(self) -> None:
        self._told: Mapping[str, str] = {}

    def news(self, reasons: Mapping[str, str]) -> list[tuple[str, str]]:
        """Return those that were not told before."""
        told, self._told = self._told, dict(reasons)
        return [(name, reason) for name, reason in reasons.items() if told.get(name) != reason]


class NetworksSide:
    """The named networks of one host. `tasks` are root tasks of the daemon.

    `is_drained` reports whether this host holds no lease on purpose: then it gives its slices back, too.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        node_id: str,
        *,
        clock: Clock,
        loop: ReconcileLoop,
        board: StatusSink,
        is_drained: Callable[[], bool],
    ) -> None:
        self._store = store
        self._state_dir = settings.state_dir
        self._run_dir = settings.run_dir
        self._node_id = node_id
        self._labels = settings.host_label
        self._clock = clock
        self._loop = loop
        self._board = board
        self._is_drained = is_drained
        self._drained = False
        self._kept_out = KeptOut()
        self._rng = Random()
        prefix = settings.etcd.prefix
        self._book = Book(prefix)
        self._definitions = store.watch(networks_prefix(prefix))
        self._slices = store.watch(slices_prefix(prefix))
        self._previous: dict[str, IPv4Network] = {}
        self._record: LeaseRecord | None = None
        self._written = 0
        self._due = asyncio.Event()
        self._outage = Transition()
        self._refused, self._without = _Reasons(), _Reasons()
        self._judged_by: object = None
        self._saved: SavedNetworks | None = None
        self._disk = DiskWork[bool](
            self._state_dir / networks_file.FILE_NAME, done=lambda _wrote: None, failed=self._unsaved
        )

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name."""
        return {
            "networks_watch": self._follow(self._definitions, definitions=True),
            "slices_watch": self._follow(self._slices, definitions=False),
            "slice_keeper": self._keep(),
            "docker_refusals": refused.follow(self._run_dir, self._clock, self._refused_by_docker),
        }

    def recall(self) -> None:
        """Before the tasks: take the networks that the disk knows, so that they stand while etcd is away."""
        saved = networks_file.load(self._state_dir)
        known = saved.networks if saved is not None and saved.node_id == self._node_id else ()
        self._previous = {joined.network.id: joined.slice for joined in known}
        self._loop.named_changed(NamedView(known, listed=False))

    def pass_done(self, outcome: Pass) -> None:
        """Take what a pass knew of this host: its public address, and the bridges that are here."""
        world = outcome.world
        own = world.own.record if world.own is not None else None
        record = None
        if own is not None and (own.public_ip or own.public_ip6):
            record = LeaseRecord(
                own.public_ip, own.public_ip6, node_id=self._node_id, host_name=own.host_name
            )
        if record != self._record:
            self._record = record
            self._due.set()
        drained = self._is_drained()
        if drained != self._drained:
            self._drained = drained
            self._due.set()
        if self._book.listed and (world.facts, world.etcd, drained) != self._judged_by:
            self._judged_by = (world.facts, world.etcd, drained)
            self._show()
        self._save(world)

    @property
    def _called(self) -> tuple[str, ...]:
        """Return what this host is chosen by: its labels and both its names."""
        name = self._loop.world.policy.host_name
        return (*self._labels, *((name,) if name else ()), self._node_id)

    async def close(self) -> None:
        """Let the disk take what it was given, within reason."""
        await self._disk.settled(CLOSE_PATIENCE)

    # etcd

    async def _follow(self, watch: Watch, *, definitions: bool) -> None:
        async for news in watch:
            before = self._book
            if before.slices.is_rewound(news):
                self._written = 0  # a revision of the past would be waited for without end
            self._book = before.networks_news(news) if definitions else before.slices_news(news)
            if self._book.listed:
                self._show()
                self._due.set()

    def _show(self) -> None:
        """Give the loop the networks that this host may be on."""
        view = joined(self._book, self._node_id, self._called)
        if self._drained:  # its devices part at once; whose containers still run is Docker's matter
            view = replace(view, networks=())
        kept_out = refusals(view.networks, self._loop.world)
        self._tell(replace(self._kept_out, refused={**self._book.invalid, **kept_out}))
        for name, reason in self._refused.news({**self._book.invalid, **kept_out}):
            log.warning("network_refused", network=name, reason=reason)
        kept = tuple(one for one in view.networks if one.network.name not in kept_out)
        self._loop.named_changed(replace(view, networks=kept))

    def _refused_by_docker(self, found: Mapping[str, str]) -> None:
        self._tell(replace(self._kept_out, by_docker=found))

    def _tell(self, kept_out: KeptOut) -> None:
        if kept_out != self._kept_out:
            self._kept_out = kept_out
            self._board.note(kept_out=kept_out)

    async def _keep(self) -> None:
        """Write this host's slices whenever something changed, without end."""
        while True:
            await self._due.wait()
            self._due.clear()
            nobody = LeaseRecord(None, None, node_id=self._node_id)
            record = nobody if self._drained else self._record
            if record is None or not self._book.listed or self._book.slices.revision < self._written:
                continue  # the watch has yet to tell of what was written last
            if not await self._write(record):
                await set_within(self._due, self._clock, RETRY_S * self._rng.uniform(0.5, 1.5))
                self._due.set()

    async def _write(self, record: LeaseRecord) -> bool:
        """Carry out the next writes; report whether all of them held. The watches tell what came of them."""
        steps = next_steps(
            self._book, Wish(record, self._previous, self._called, drained=self._drained), self._rng
        )
        self._tell(replace(self._kept_out, without=dict(steps.refused)))
        for name, reason in self._without.news(steps.refused):
            log.warning("slice_refused", network=name, reason=reason)
        held = True
        try:
            for txn in steps.writes:
                done = await self._store.txn(txn)
                held &= done.succeeded
                if done.succeeded and txn.success[0].key.startswith(slices_prefix(self._book.prefix)):
                    self._written = done.revision
                if done.succeeded and isinstance(txn.success[0], PutKey):
                    log.info("slice_written", key=txn.success[0].key)
        except StoreError as error:
            if self._outage.failed(self._clock.monotonic(), reason=type(error).__name__):
                log.warning("slice_store_failed", error=error, action="slices are kept; tried again")
            return False
        self._outage.succeeded(self._clock.monotonic())
        return held

    # the disk

    def _save(self, world: World) -> None:
        """Keep what Docker should have, once etcd or the disk told of it."""
        networks = world.named.networks
        if not world.named.listed and self._saved is None and not networks:
            return
        here = world.facts.bridges
        missing = tuple(sorted(one.bridge for one in networks if one.bridge not in here))
        saved = SavedNetworks(self._node_id, networks, missing)
        if saved != self._saved:
            self._saved = saved
            self._previous |= {one.network.id: one.slice for one in networks}
            self._disk.give(lambda: networks_file.save(self._state_dir, saved))

    def _unsaved(self, error: HostError) -> None:
        self._saved = None  # written again after the next pass
        log.warning("networks_file_unsaved", error=error, action="Docker's networks stay as they are")
