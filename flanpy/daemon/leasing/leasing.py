"""Leasing: everything between etcd and the loop, put together.

Each part owns one thing: the watches of leases and of the network config, the keeper of our own lease, the move from
one backend to another, drain, and what the disk remembers. What connects two of them stands here, as one short method
each. In: facts and passes. Out: network, leases and own lease to the loop, and the same to the status board.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from random import Random
from secrets import token_hex
from typing import Any

from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.latest import Latest
from flanpy.daemon.leasing import expiries
from flanpy.daemon.leasing.backend_move import BackendMove
from flanpy.daemon.leasing.draining import Draining
from flanpy.daemon.leasing.etcd_ways import TCP_PROBE_S, EtcdWays
from flanpy.daemon.leasing.lease_memory import LeaseMemory
from flanpy.daemon.leasing.lease_watch import LeaseWatch
from flanpy.daemon.leasing.network_watch import NetworkWatch
from flanpy.daemon.leasing.own_record import own_lease, own_record
from flanpy.daemon.leasing.suspects import Suspects
from flanpy.daemon.leasing.takeovers import Takeovers
from flanpy.errors import HostError, StoreError
from flanpy.host import drain_file
from flanpy.log import get_logger
from flanpy.model.address import IPAddress
from flanpy.model.border import EtcdAddress, KnownBorder
from flanpy.model.lease import Lease
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import NO_CLAIMS, Claim
from flanpy.plan.border import guarded
from flanpy.plan.moving import Step
from flanpy.probe.tcp_probe import tcp_probe
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import OwnSource, OwnStatus, StatusSink
from flanpy.store.own.keeper import LeaseKeeper
from flanpy.store.own.own_lease import LeaseSource, LeaseTerms, OwnLeaseState
from flanpy.store.port import StoreSession
from flanpy.store.schema import config_key, subnets_prefix

log = get_logger()

RELIST_INTERVAL = 600.0
"""Seconds between two listings made for no reason but to be sure."""


class Leasing:
    """Everything between etcd and the loop. `tasks` are root tasks of the daemon."""

    def __init__(
        self,
        session: StoreSession,
        settings: Settings,
        node_id: str,
        *,
        clock: Clock,
        loop: ReconcileLoop,
        board: StatusSink,
        latest: Latest,
    ) -> None:
        self._session = session
        self._settings = settings
        self._node_id = node_id
        self._clock = clock
        self._loop = loop
        self._board = board
        self._mesh_token = token_hex(16)
        self._recalled: Lease | None = None
        self._recalled_peers: tuple[Lease, ...] = ()
        self._newest: frozenset[Claim] = NO_CLAIMS
        self._memory = LeaseMemory(settings, node_id, clock=clock, note=self._note_lease_file)
        self._leases = LeaseWatch(
            session,
            subnets_prefix(settings.etcd.prefix),
            clock=clock,
            board=board,
            answers=latest.answers,
            changed=self._leases_changed,
            parted=self._show_leases,
        )
        self._config = NetworkWatch(
            session,
            config_key(settings.etcd.prefix),
            board=board,
            own=lambda: self._keeper.state,
            policy=lambda: loop.world.policy,
            changed=self._network_changed,
        )
        self._keeper = LeaseKeeper(
            session,
            settings.etcd.prefix,
            clock=clock,
            rng=Random(),
            on_change=self._own_changed,
            remember=self._kept,
            terms=LeaseTerms(ttl=settings.subnet_lease_ttl, margin=settings.subnet_lease_renew_margin),
        )
        self._move = BackendMove(
            clock=clock,
            loop=loop,
            view=lambda: self._leases.view,
            show=self._show_leases,
            say=self.world_changed,
        )
        self._ways = EtcdWays(lambda: session.endpoints, clock=clock, changed=self._etcd_moved)
        self._suspects = Suspects(
            clock=clock,
            heard=lambda: session.stats.heard,
            answers=self._etcd_answers,
            freed=lambda: session.reconnect("way_freed"),
            withhold=loop.withheld_changed,
            remember=self._remember_newest,
        )
        self._takeovers = Takeovers(
            node_id,
            clock=clock,
            alive=self._is_alive,
            note=lambda lines: board.note(changed_hands=lines),
        )
        self._drained = False
        self._shut_out = False
        self._draining = Draining(self._keeper, settings.state_dir, clock=clock)

    @property
    def is_drained(self) -> bool:
        """Report whether this host holds no lease on purpose."""
        return self._drained

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return the coroutines to run, by task name."""
        return {
            "config_watch": self._config.follow(),
            "lease_watch": self._leases.follow(),
            "lease_keeper": self._keeper.run(),
            "lease_relist": self._relist_now_and_then(),
            "lease_parting": self._leases.let_go(),
            "store_version": self._leases.learn_version(),
            "backend_move": self._move.run(),
            "etcd_ways": self._ways.run(),
            "suspects": self._suspects.run(),
            "newest_leases": self._suspects.remember(),
            "takeovers": self._takeovers.run(),
        }

    def recall(self) -> None:
        """Before the tasks: take what the disk knows, so that a host boots with its subnet while etcd is away."""
        known = self._memory.recall()
        self._ways.recall(known.border.etcd if known.border is not None else ())
        if known.network_config:
            self._config.recall(known.network_config, known.border.first if known.border else None)
        if known.stored is not None:
            self._recalled = known.stored.lease
            self._recalled_peers = known.newest
            self._newest = frozenset((lease.key, lease.record) for lease in known.newest)
            self._suspects.recall(self._newest)
            self._show_leases()
        self._keeper.recall(known.stored, previous=known.previous)
        if known.drained is not None:
            self._keeper.stay_out(previous=known.drained.key)

    async def drain(self) -> dict[str, Any]:
        """Give the lease back and stay out of the network until `undrain`."""
        return await self._draining.drain()

    async def undrain(self) -> dict[str, Any]:
        """Take part again; a cleanup may have taken away what stood before. Raises HostError for a revoked host."""
        if self._shut_out:
            raise HostError("this host was revoked: flanpyctl keys allow, on another host, takes it back")
        self._loop.look_again("undrain")
        return await self._draining.undrain()

    async def shut_out(self, out: bool) -> None:
        """Give the lease back and stay out while an operator says so; take part again after, unless drained."""
        self._shut_out = out
        self._board.note(shut_out=out)
        if out:
            try:
                await self._keeper.release()
            except StoreError as error:
                log.warning("revoked_lease_kept", error=error)
        elif drain_file.load(self._settings.state_dir) is None:
            self._loop.look_again("allowed")
            self._keeper.resume()

    def save_again(self) -> None:
        """Write the lease to disk if that failed the last time, and look whether etcd answers."""
        self._memory.file.try_again()
        self._leases.look_again()

    async def close(self) -> None:
        """Let the disk take what it was given, within reason."""
        await self._memory.file.close()

    def use_margin(self, seconds: float) -> None:
        """Renew our lease by another margin from now on."""
        self._keeper.use_margin(seconds)

    def relist(self, reason: str) -> None:
        """Ask etcd for a fresh listing of all leases."""
        self._leases.relist(reason)

    async def remaining(self, leases: Sequence[int]) -> Mapping[int, float]:
        """Seconds that etcd leases have left, as far as etcd says so soon."""
        return {} if self._leases.view.stale else await expiries.remaining(self._session, leases)

    def world_changed(self) -> None:
        """Facts, network or leases changed: what our lease must say may have changed with them."""
        network = self._config.network
        if network is None or not self._leases.view.in_sync:
            return
        world = self._move.advertised(self._published() or self._keeper.state.lease)
        record = own_record(world, token=self._mesh_token, announced=self._move.announced())
        if record is not None:
            self._keeper.want(network, record, guarded(world))

    def pass_done(self, outcome: Pass) -> None:
        """A pass ended: with it the network's backend may stand, and then our lease may say so."""
        self._draining.pass_done(outcome)
        self._suspects.pass_done(outcome)
        if self._move.stood(outcome):
            self.world_changed()
            self._move.review()

    def _published(self) -> Lease | None:
        """Our lease as etcd shows it at start: peers have programmed the MAC that stands there.

        Later it is we who know the MAC; a restored backup or a careless hand does not.
        """
        own = self._keeper.state
        if own.source is LeaseSource.ETCD:
            return None
        facts = self._loop.world.facts
        return own_lease(self._leases.view.leases.values(), self._node_id, own.lease, facts.addresses)

    # from etcd

    def _leases_changed(self, step: Step) -> None:
        self._suspects.view_changed(step.before, step.now)
        self._takeovers.view_changed(step)
        self._move.review(step)
        self._show_leases()
        self.world_changed()
        self._keeper.observe(step.now)

    def _show_leases(self) -> None:
        """Give the loop the leases as it should see them.

        Before the first listing these are the newest that the disk knows: their routes stand, and go for a trial if
        etcd is silent because of one, so they must be known to be put back.
        """
        view = self._move.shown(self._leases.shown)
        if not view.in_sync and self._recalled_peers:
            view = replace(view, leases={str(lease.key): lease for lease in self._recalled_peers})
        self._loop.view_changed(view)

    def _network_changed(self, network: NetworkConfig) -> None:
        own = self._keeper.state.lease
        self._move.begin(network, self._published() or own or self._recalled)
        self._keep(own)
        self.world_changed()

    def _etcd_moved(self, addresses: tuple[EtcdAddress, ...]) -> None:
        self._loop.etcd_moved(addresses)
        self.world_changed()
        self._keep(self._keeper.state.lease)

    def look_for_etcd(self) -> None:
        """Resolve etcd's addresses again: the endpoints have changed."""
        self._ways.look_again()

    async def _is_alive(self, address: IPAddress) -> bool:
        port = self._settings.probe.mesh_port or 1
        return await tcp_probe(address, port, clock=self._clock, deadline=TCP_PROBE_S) is not None

    async def _etcd_answers(self) -> bool:
        if not self._session.endpoints:
            return True  # a file: no route can lead away from it
        answered = await self._ways.answers()
        if answered is not None:
            return answered
        try:  # by a proxy on this host, or a name that has no address yet: only etcd's own word counts
            async with asyncio.timeout(TCP_PROBE_S):
                await self._session.get(config_key(self._settings.etcd.prefix))
        except (StoreError, TimeoutError):
            return False
        return True

    async def _relist_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(RELIST_INTERVAL)
            self._leases.relist("periodic")
            self._config.relist("periodic")

    # from the keeper, and the disk

    def _own_changed(self, state: OwnLeaseState) -> None:
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
            missing=state.missing,
            drained=state.drained,
        )
        if state.drained and not self._drained:
            self._loop.look_again("drain")  # named networks go, too, by a pass after this news
        self._drained = state.drained
        self._board.note(own=status, pending_lease=state.restart_needed)

    def _kept(self, lease: Lease | None) -> None:
        """The keeper's word on what the disk is to hold."""
        if lease is None:
            self._memory.file.forget()
        else:
            self._keep(lease)

    def _keep(self, lease: Lease | None) -> None:
        border = KnownBorder(self._config.first, self._ways.addresses)
        self._memory.keep(lease, self._config.network, border, self._newest)

    def _remember_newest(self, newest: frozenset[Claim]) -> None:
        self._newest = newest
        self._keep(self._keeper.state.lease)

    def _note_lease_file(self, text: str, error: str) -> None:
        self._board.note(lease_file=text, lease_file_error=error)
