"""Leasing: follows the network config and the leases in etcd, and connects the keeper of our own lease.

In: the two watches, the keeper's state, the lease on disk. Out: network, view and own lease to the reconcile loop, the
same to the status board, and to disk what a boot without etcd needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from random import Random
from typing import Any

from flanpy.backend.choice import former_world
from flanpy.backend.extension import refuse_unless_allowed
from flanpy.backend.registry import backend_for, validate_network
from flanpy.clock import Clock, set_within
from flanpy.config import Settings
from flanpy.daemon.host_files import LeaseFile, device_failed
from flanpy.errors import ConfigError, LeaseGone, StoreError, StoreUnavailable
from flanpy.host import drain_file, state_file, subnet_env
from flanpy.host.absent import Absent
from flanpy.host.disk_work import in_time
from flanpy.host.drain_file import Drained
from flanpy.host.state_file import SavedLease
from flanpy.log import get_logger
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.model.network import NetworkConfig
from flanpy.model.network_config import parse_network_config
from flanpy.plan.admission import is_own
from flanpy.plan.moving import Ahead, Moving, Step
from flanpy.reconcile.loop import Pass, ReconcileLoop
from flanpy.status.board import StatusBoard
from flanpy.status.inputs import OwnSource, OwnStatus, StoreStatus
from flanpy.store.allocation import excluded
from flanpy.store.etcd import EtcdSession
from flanpy.store.keeper import LeaseKeeper
from flanpy.store.lease_view import fold
from flanpy.store.linger import Lingering
from flanpy.store.own_lease import LeaseSource, LeaseTerms, OwnLeaseState, StoredLease
from flanpy.store.port import Delta, News, Snapshot, Stale
from flanpy.store.schema import config_key, subnets_prefix

log = get_logger()

RELIST_INTERVAL = 600.0
"""Seconds between two listings made for no reason but to be sure."""

MOST_EXPIRIES = 200
"""Leases whose remaining time is asked for when somebody lists them: one request each."""

EXPIRY_DEADLINE = 0.5
"""Seconds that a listing may wait for them."""

DRAIN_DEADLINE = 15.0
"""Seconds that giving the lease back may take, and then that the last pass may."""


class Leasing:
    """Everything between etcd and the loop. `tasks` are root tasks of the daemon."""

    def __init__(
        self,
        session: EtcdSession,
        settings: Settings,
        node_id: str,
        *,
        clock: Clock,
        loop: ReconcileLoop,
        board: StatusBoard,
    ) -> None:
        self._session = session
        self._settings = settings
        self._node_id = node_id
        self._clock = clock
        self._loop = loop
        self._board = board
        self._prefix = settings.etcd.prefix
        self._view = LeaseView()
        self._lingering = Lingering()
        self._parting = asyncio.Event()
        self._moving = Moving()
        self._ahead = Ahead()
        self._recalled: Lease | None = None
        self._move_news = asyncio.Event()
        self._network: NetworkConfig | None = None
        self._own = OwnLeaseState()
        self._contacted = False
        self._idle = asyncio.Event()
        self._lease_file = LeaseFile(settings.state_dir, note=self._note_lease_file)
        self._leases = session.watch(subnets_prefix(self._prefix))
        self._config = session.watch(config_key(self._prefix))
        self._keeper = LeaseKeeper(
            session,
            self._prefix,
            clock=clock,
            rng=Random(),
            on_change=self._own_changed,
            remember=self._kept,
            terms=LeaseTerms(ttl=settings.subnet_lease_ttl, margin=settings.subnet_lease_renew_margin),
        )

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What to run, by name."""
        return {
            "config_watch": self._follow_config(),
            "lease_watch": self._follow_leases(),
            "lease_keeper": self._keeper.run(),
            "lease_relist": self._relist_now_and_then(),
            "lease_parting": self._let_go(),
            "backend_move": self._follow_move(),
        }

    def recall(self) -> None:
        """Before the tasks: take what the disk knows, so that a host boots with its subnet while etcd is away."""
        env = subnet_env.read(self._settings.subnet_file)
        previous = None if isinstance(env, Absent) else SubnetKey(env.subnet, env.ipv6_subnet)
        drained = drain_file.load(self._settings.state_dir)
        if drained is not None:
            log.warning("drain_recalled", action="no lease is taken before flanpyctl drain --undo")
            self._keeper.recall(None, previous=previous)
            self._keeper.stay_out(previous=drained.key)
            return
        saved = state_file.load(self._settings.state_dir, node_id=self._node_id)
        if isinstance(saved, Absent):
            if saved.reason:
                log.warning("saved_lease_refused", reason=saved.reason)
            self._keeper.recall(None, previous=previous)
            return
        network = self._parsed(saved.network_config)
        if network is not None:
            self._use_network(network)
        record = LeaseRecord(saved.public_ip, saved.public_ip6, node_id=self._node_id)
        lease = Lease(saved.key, record, saved.lease_id, mod_revision=saved.revision)
        self._recalled = lease
        self._keeper.recall(StoredLease(lease, in_use=saved.key == previous), previous=previous)

    async def drain(self) -> dict[str, Any]:
        """Give the lease back and stay out, over restarts too, until `undrain`; returns once nothing is planned.

        Raises HostError if that cannot be kept on disk, StoreError if etcd cannot be told: then all is as it was.
        """
        held, was = self._own.lease, self._own.drained
        if not was:
            await self._mark(held)
            try:
                async with asyncio.timeout(DRAIN_DEADLINE):
                    await self._keeper.release()
            except (StoreError, TimeoutError) as error:
                self._keeper.resume()
                await self._unmark()
                why = str(error) or f"no answer within {DRAIN_DEADLINE:g} s"
                raise StoreUnavailable(f"nothing was drained, for etcd must be told: {why}") from error
            log.info("drain_done", subnet=held.key if held is not None else None)
        await set_within(self._idle, self._clock, DRAIN_DEADLINE)
        return {"drained": True, "changed": not was, **self._given_back(held)}

    async def _mark(self, held: Lease | None) -> None:
        """Before the release: a daemon that ends in between must not come back with a lease. Raises HostError."""
        directory = self._settings.state_dir
        drained = Drained(held.key if held is not None else None, self._clock.wall())
        await in_time(
            directory / drain_file.FILE_NAME,
            lambda: drain_file.mark(directory, drained),
            undo=lambda: drain_file.clear(directory),
        )

    async def _unmark(self) -> None:
        """Raises HostError."""
        directory = self._settings.state_dir
        await in_time(directory / drain_file.FILE_NAME, lambda: drain_file.clear(directory))

    def _given_back(self, held: Lease | None) -> dict[str, Any]:
        """Which subnet that was; `reservation`: it stays this host's."""
        drained = drain_file.load(self._settings.state_dir)
        key = held.key if held is not None else drained.key if drained is not None else None
        return {
            "reservation": held is not None and held.is_reservation,
            "subnet": str(key.subnet) if key is not None and key.subnet is not None else None,
            "subnet6": str(key.subnet6) if key is not None and key.subnet6 is not None else None,
        }

    async def undrain(self) -> dict[str, Any]:
        """Take part again, on the same subnet if it is free. Raises HostError: then all is as it was."""
        was = self._own.drained
        await self._unmark()
        if was:
            log.info("drain_undone")
            self._keeper.resume()
        return {"drained": False, "changed": was}

    def save_again(self) -> None:
        """Write the lease to disk if that failed the last time."""
        self._lease_file.try_again()

    async def close(self) -> None:
        """Let the disk take what it was given, within reason."""
        await self._lease_file.close()

    def use_margin(self, seconds: float) -> None:
        """Renew our lease by another margin from now on."""
        self._keeper.use_margin(seconds)

    def relist(self, reason: str) -> None:
        """Ask etcd for a fresh listing of all leases."""
        self._leases.relist(reason)

    async def remaining(self, leases: Sequence[int]) -> Mapping[int, float]:
        """Seconds that etcd leases have left; empty when etcd is away, slow, or there are too many to ask for."""
        asked = {lease for lease in leases if lease}
        if self._view.stale or len(asked) > MOST_EXPIRIES:
            return {}
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(EXPIRY_DEADLINE):
                return dict(await asyncio.gather(*map(self._left, asked)))
        return {}

    async def _left(self, lease: int) -> tuple[int, float]:
        try:
            return lease, (await self._session.time_to_live(lease)).remaining
        except LeaseGone:
            return lease, 0

    def world_changed(self) -> None:
        """Facts, network or leases changed: what our lease must say may have changed with them."""
        world, network = self._loop.world, self._network
        if network is None or not self._view.in_sync:
            return
        own = self._published() or self._own.lease
        self._moving = self._moving.told(own)
        world = replace(world, network=network, own=own, former=self._moving.former)
        if not self._moving.stands:
            world = former_world(world) or world
        assert world.network is not None
        record = backend_for(world.network.backend_type).advertise(world)
        if record is not None:
            self._keeper.want(network, record)

    def pass_done(self, outcome: Pass) -> None:
        """A pass ended: with it the network's backend may stand, and then our lease may say so."""
        if outcome.world.own is None:
            self._idle.set()
        else:
            self._idle.clear()
        if self._moving.stands or outcome.world.network is not self._network:
            return
        if outcome.decision.desired is not None and not outcome.error and not device_failed(outcome):
            self._moving = replace(self._moving, stands=True)
            self.world_changed()
            self._review_move()

    def _published(self) -> Lease | None:
        """Our lease as etcd shows it at start: peers have programmed the MAC that stands there.

        Later it is we who know the MAC; a restored backup or a careless hand does not.
        """
        if self._own.source is LeaseSource.ETCD:
            return None
        facts = self._loop.world.facts
        return _own_in(self._view.leases.values(), self._node_id, self._own.lease, facts.addresses)

    # etcd to loop

    async def _follow_leases(self) -> None:
        async for news in self._leases:
            self._note_store(news)
            before, self._view = self._view, fold(self._view, news, subnets_prefix(self._prefix))
            self._lingering = self._lingering.after(before, self._view, self._clock.monotonic())
            if self._lingering.leases:
                self._parting.set()
            self._review_move(Step(before, self._view, self._touched(news)))
            self._show_leases()
            self.world_changed()
            self._keeper.observe(self._view)

    def _show_leases(self) -> None:
        """Give the loop the leases as it should see them."""
        self._loop.view_changed(self._ahead.shown(self._lingering.shown(self._view)))

    async def _let_go(self) -> None:
        """Take peers whose lease is deleted for good out of the view."""
        while True:
            await self._parting.wait()
            self._parting.clear()
            while (pause := self._lingering.pause(self._clock.monotonic())) is not None:
                # Whoever lingers from now on may have to go sooner.
                await set_within(self._parting, self._clock, pause)
                self._parting.clear()
                self._lingering = self._lingering.after(self._view, self._view, self._clock.monotonic())
                self._show_leases()

    # from one backend to another

    async def _follow_move(self) -> None:
        """Look again when the old backend, or a lease that was ahead of our config, has had its time."""
        while True:
            await self._move_news.wait()
            self._move_news.clear()
            while (pause := self._move_pause()) is not None:
                await self._clock.sleep(pause)
                self._review_move()

    def _move_pause(self) -> float | None:
        now = self._clock.monotonic()
        pauses = (self._moving.pause(now), self._ahead.pause(now))
        return min((pause for pause in pauses if pause is not None), default=None)

    def _touched(self, news: News) -> Iterable[str]:
        """Keys of the leases that may have changed by this."""
        match news:
            case Delta(puts=puts):
                prefix = subnets_prefix(self._prefix)
                return [kv.key.removeprefix(prefix) for kv in puts]
            case Snapshot():
                return self._view.leases
            case _:
                return ()

    def _review_move(self, step: Step | None = None) -> None:
        """Judge by the leases who is where on the way; `step` is the last change of them."""
        network, now = self._network, self._clock.monotonic()
        if network is None:
            return
        step = step or Step(self._view, self._view, ())
        ahead = self._ahead.after(step, network, self._moving, now)
        if ahead is not self._ahead:
            self._ahead = ahead
            self._show_leases()
        former = self._moving.former
        if former is not None:
            world = self._loop.world
            peers = [lease for lease in self._view.leases.values() if not is_own(lease, world)]
            self._moving = self._moving.after(peers, now)
        if self._moving.former is not self._loop.world.former:
            self._loop.network_changed(network, self._moving.former)
        if former is not None and self._moving.former is None:
            log.info("backend_moved", backend=network.backend_type, previous=former.network.backend_type)
        if self._move_pause() is not None:
            self._move_news.set()

    async def _follow_config(self) -> None:
        async for news in self._config:
            match news:
                case Snapshot(items):
                    values = [kv.value for kv in items if kv.key == config_key(self._prefix)]
                    self._config_read(values[0] if values else None)
                case Delta(puts, deletes):
                    for kv in puts:
                        if kv.key == config_key(self._prefix):
                            self._config_read(kv.value)
                    if any(gone.key == config_key(self._prefix) for gone in deletes):
                        self._config_read(None)
                case _:
                    pass

    async def _relist_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(RELIST_INTERVAL)
            self.relist("periodic")
            self._config.relist("periodic")

    def _config_read(self, value: bytes | None) -> None:
        key = config_key(self._prefix)
        if value is None:
            self._refuse(f"there is no network config at {key}: put one with flanpyctl network init")
            return
        network = self._parsed(value)
        if network is None:
            return
        if self._network is not None and network.text == self._network.text:
            self._board.note(pending_network="")  # a change that was held may have been taken back
            return
        if unfit := self._unfit(network):
            self._board.note(pending_network=unfit)
            log.warning("network_change_held", reason=unfit)
            return
        self._board.note(pending_network="")
        self._use_network(network)

    def _unfit(self, network: NetworkConfig) -> str:
        """Why a changed config cannot be put into effect under running containers, "" if it can."""
        own = self._own.lease
        if self._own.source is not LeaseSource.ETCD or own is None:
            return ""
        lacking = (network.network and not own.key.subnet) or (network.network6 and not own.key.subnet6)
        reason = f"{own.key} lacks a family of it" if lacking else excluded(network, own.key)
        return f"the network config was changed, the old one stays in force: {reason}" if reason else ""

    def _parsed(self, value: bytes | str) -> NetworkConfig | None:
        """A config that can be used; what cannot is named in a condition, and the last good one stays in force."""
        try:
            network = parse_network_config(value)
            validate_network(network)
            refuse_unless_allowed(network, self._loop.world.policy)
        except ConfigError as error:
            self._refuse(str(error))
            return None
        if self._board.snapshot.inputs.network_error:
            self._board.note(network_error="")
        return network

    def _refuse(self, error: str) -> None:
        if error != self._board.snapshot.inputs.network_error:
            log.warning("network_refused", error=error)
            self._board.note(network_error=error)

    def _use_network(self, network: NetworkConfig) -> None:
        own = self._published() or self._own.lease or self._recalled
        self._moving = self._moving.begun(self._network, network, own)
        self._network = network
        log.info("network_read", network=network.network or network.network6, backend=network.backend_type)
        for warning in network.warnings:
            log.warning("network_doubtful", message=warning)
        self._board.note(network=network)
        self._loop.network_changed(network, self._moving.former)
        self._review_move()
        self._remember(self._own.lease)
        self.world_changed()

    def _note_store(self, news: News) -> None:
        stats = self._session.stats
        stale = isinstance(news, Stale)
        self._contacted = self._contacted or not stale
        known = self._board.snapshot.inputs.store
        error = news.error if isinstance(news, Stale) else ""
        since = (known.outage_since or self._clock.wall()) if stale else None
        status = StoreStatus(stats.endpoint, self._contacted, stale, error, since)
        if status != known:
            self._board.note(store=status)

    # keeper to loop, status and disk

    def _note_lease_file(self, text: str, error: str) -> None:
        self._board.note(lease_file=text, lease_file_error=error)

    def _own_changed(self, state: OwnLeaseState) -> None:
        self._own = state
        self._loop.own_changed(state.lease, confirmed=state.source is LeaseSource.ETCD)
        expires_at = state.expires_at
        if expires_at is not None:
            expires_at += self._clock.wall() - self._clock.monotonic()
        status = OwnStatus(
            lease=state.lease,
            source=OwnSource(state.source.value),
            expires_at=expires_at,
            ttl=self._settings.subnet_lease_ttl,
            conflict=state.conflict,
            yielded=state.yielded,
            duplicate_ip=state.duplicate_ip,
            waiting=state.waiting or state.last_error,
            drained=state.drained,
        )
        self._board.note(own=status, pending_lease=state.restart_needed)

    def _kept(self, lease: Lease | None) -> None:
        """The keeper's word on what the disk is to hold."""
        if lease is None:
            self._lease_file.forget()
        else:
            self._remember(lease)

    def _remember(self, lease: Lease | None) -> None:
        if lease is None or self._network is None:
            return
        self._lease_file.save(
            SavedLease(
                key=lease.key,
                lease_id=lease.lease_id,
                revision=lease.mod_revision,
                node_id=self._node_id,
                network_config=self._network.text,
                public_ip=lease.record.public_ip,
                public_ip6=lease.record.public_ip6,
                saved_at=self._clock.wall(),
            )
        )


def _own_in(
    leases: Iterable[Lease], node_id: str, held: Lease | None, here: Iterable[object]
) -> Lease | None:
    """Our lease as etcd shows it: by node id, or without one (flannel wrote it) by an address of this host."""
    addresses = set(here)
    for lease in leases:
        record = lease.record
        if record.node_id == node_id:
            return lease
        if not record.node_id and (
            record.public_ip in addresses or (held is not None and lease.key == held.key)
        ):
            return lease
    return None
