"""The agent of one host: builds all parts, connects them, and runs them until a signal.

Data goes one way: store and monitor publish frozen values, the loop turns them into kernel objects, the board into
status. What parts decide by stands in `latest`; the board is read by those that show it alone. What connects two parts
stands here, as one short method each.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

from flanpy.backend import choice
from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon import store_choice
from flanpy.daemon.cloud.side import CloudSide
from flanpy.daemon.data_plane import DataPlane
from flanpy.daemon.event_memory import EventMemory
from flanpy.daemon.extension_side import PreStartup
from flanpy.daemon.host_files import SubnetFile
from flanpy.daemon.keys_side import KeysSide
from flanpy.daemon.latest import Latest
from flanpy.daemon.leasing.leasing import Leasing
from flanpy.daemon.leasing.store_metrics import store_counts
from flanpy.daemon.looks.docker_side import docker_watcher
from flanpy.daemon.looks.filter_counts import filter_counts
from flanpy.daemon.looks.offload_watch import OffloadWatch
from flanpy.daemon.looks.own_addresses import OwnAddresses
from flanpy.daemon.looks.probing import Probing
from flanpy.daemon.looks.transit_watch import TransitWatch
from flanpy.daemon.looks.tuning_watch import TuningWatch
from flanpy.daemon.names.side import NamesSide
from flanpy.daemon.networks.announcing import announcer
from flanpy.daemon.networks.side import NetworksSide
from flanpy.daemon.policy import policy_of, underlay_choice
from flanpy.daemon.reloading import SettingsInForce
from flanpy.daemon.service_manager import ServiceManager
from flanpy.daemon.serving.listeners import Listeners
from flanpy.daemon.tasks import run_until
from flanpy.daemon.wireguard_side import WireguardSide
from flanpy.docker.watcher import DockerReport
from flanpy.errors import FlanpyError
from flanpy.host.disk_work import told_if_late
from flanpy.host.extension import ExtensionPart
from flanpy.kernel.adapter import NetlinkKernel
from flanpy.kernel.composite import CompositeKernel
from flanpy.kernel.monitor import Monitor
from flanpy.kernel.port import Moved
from flanpy.log import get_logger
from flanpy.model.cloud import CloudHere
from flanpy.model.condition import ConditionType
from flanpy.model.facts import HostFacts
from flanpy.model.network.network import NetworkConfig
from flanpy.model.packet_filter import FilterFacts
from flanpy.model.reach import ReachReport
from flanpy.model.tuning import HostTuning
from flanpy.model.world import Policy, Printed
from flanpy.netfilter.part import FilterPart
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass
from flanpy.status.board import StatusBoard
from flanpy.systemd import Notifier

log = get_logger()


class Agent:
    """One host's flanpyd. Make it inside the running event loop; `run` returns after SIGTERM or SIGINT."""

    def __init__(
        self,
        settings: Settings,
        node_id: str,
        *,
        clock: Clock,
        notifier: Notifier,
        reload_settings: Callable[[], Settings],
    ) -> None:
        self._clock = clock
        self._stop = asyncio.Event()
        self._programmed = asyncio.Event()
        self._latest = Latest()
        self._service = ServiceManager(notifier, clock=clock, passing_for=lambda: self._loop.passing_for)
        self._board = StatusBoard(clock, self._service.status_changed, on_waiting=self._service.judge_soon)
        self._settings = SettingsInForce(
            settings,
            read=reload_settings,
            use=self._use,
            pending=lambda text: self._board.note(pending_settings=text),
        )
        self._events = EventMemory(settings.state_dir, node_id, clock=clock, board=self._board)
        self._session = store_choice.store_of(
            settings, node_id, clock=clock, addresses=lambda: self._loop.world.facts.addresses
        )
        self._kernel = NetlinkKernel()
        self._data_plane = DataPlane(
            settings,
            clock=clock,
            on_down=lambda: self.kernel_moved(Moved.DATA_PLANE),
            on_refit=self._refit_data_plane,
            note=lambda text: self._board.note(data_plane=text),
        )
        self._wireguard = WireguardSide(
            settings,
            clock=clock,
            world=lambda: self._loop.world,
            on_moved=lambda: self.kernel_moved(Moved.WIREGUARD),
            use=self._use_policy,
            unusable=lambda text: self._board.note(key_error=text),
            ailing=lambda faults: self._board.note(sessions=faults),
            shared_by=lambda: not self._session.is_list,
        )
        extension = ExtensionPart(settings.run_dir)
        self._filter = FilterPart()
        self._filter.tell(self)
        self._loop = ReconcileLoop(
            CompositeKernel(
                self._kernel, (self._data_plane.part, extension, self._filter, self._wireguard.part)
            ),
            policy_of(settings, node_id),
            clock=clock,
            resync_interval=settings.resync_interval,
            on_pass=self._pass_done,
            request_listing=self._request_listing,
            fit=self._fit,
        )
        self._offload = OffloadWatch(self._loop, settings.run_dir)
        self._announcer = announcer(clock, self._loop, self._board)
        self._monitor = Monitor(
            underlay_choice(settings), self, writer=self._kernel, on_links=self._announcer.links_changed
        )
        self._own_addresses = OwnAddresses(self._monitor.prefer)
        self._leasing = Leasing(
            self._session,
            settings,
            node_id,
            clock=clock,
            loop=self._loop,
            board=self._board,
            latest=self._latest,
        )
        self._keys = KeysSide(
            self._session,
            settings,
            node_id,
            clock=clock,
            loop=self._loop,
            rotation=self._wireguard.rotation,
            shut_out=self._leasing.shut_out,
        )
        self._cloud = CloudSide(
            settings,
            self._session,
            node_id,
            clock=clock,
            note=lambda status: self._board.note(cloud=status),
            here=self._clouds_changed,
        )
        self._networks = NetworksSide(
            self._session,
            settings,
            node_id,
            clock=clock,
            loop=self._loop,
            board=self._board,
            is_drained=lambda: self._leasing.is_drained,
        )
        self._names = NamesSide(
            self._session,
            settings,
            node_id,
            clock=clock,
            world=lambda: self._loop.world,
            board=self._board,
            latest=self._latest,
        )
        self._probing = Probing(
            self._settings,
            node_id,
            clock=clock,
            latest=self._latest,
            publish=self._probed,
            corrupted=self._offload.corrupted,
        )
        self._prestartup = PreStartup(
            extension, clock=clock, printed=self._printed, failed=self._note_backend_error
        )
        self._subnet_file = SubnetFile(
            settings.subnet_file, ip_masq=settings.filter.ip_masq, note=self._note_subnet_file
        )

    async def run(self) -> None:
        """Run until a signal. Kernel state and lease stay in place: traffic outlives the daemon."""
        running = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            running.add_signal_handler(number, self._signalled, number)
        running.add_signal_handler(signal.SIGHUP, self._hung_up)
        self._service.starting()
        with told_if_late(self._settings().state_dir):
            self._events.recall()
            self._leasing.recall()
            self._networks.recall()
            self._names.recall()
        self._own_addresses.look(self._loop.world)
        try:
            await run_until(self._stop, self._tasks())
        finally:
            self._board.note(stopping=True)
            self._service.stopping()
            await self._data_plane.close()
            sides = (self._leasing, self._networks, self._names, self._subnet_file)
            for part in (*sides, self._cloud, self._offload, self._events):
                await part.close()
            await self._session.aclose()
            self._kernel.close()
            self._wireguard.close()
            self._filter.close()
        log.info("daemon_stopped")

    def _tasks(self) -> dict[str, Any]:
        listeners = Listeners(
            node_id=self._loop.world.policy.node_id,
            settings=self._settings,
            board=self._board,
            loop=self._loop,
            clock=self._clock,
            reload=self._settings.reload_document,
            drain=self._leasing.drain,
            undrain=self._leasing.undrain,
            more_counts=lambda: chain(
                store_counts(self._session.stats),
                self._data_plane.counts(),
                filter_counts(),
                self._cloud.counts(),
                self._names.counts(),
                self._wireguard.counts(),
            ),
            remaining=self._leasing.remaining,
            programmed=self._programmed,
            probing=self._probing,
            sessions=lambda: self._wireguard.part.sessions,
            keys=self._keys.document,
            rotate=self._wireguard.rotation.rotate,
        )
        return {
            "monitor": self._watch_kernel(),
            "announcer": self._announcer.run(),
            "reconcile": self._loop.run(),
            "packet_filter": self._filter.watch(self._clock, lambda: self._settings().filter.iptables_resync),
            **self._session.tasks(),
            **self._leasing.tasks(),
            **self._keys.tasks(),
            **self._networks.tasks(),
            **self._names.tasks(),
            "listeners": listeners.run(),
            "pulse": self._service.pulse(self._board, also=self._leasing.save_again),
            "events": self._events.run(),
            "subnet_file": self._subnet_file.watch(self._clock),
            "prestartup": self._prestartup.run(),
            **self._wireguard.tasks(),
            **self._cloud.tasks(),
            "tuning": TuningWatch(
                clock=self._clock,
                last=lambda: self._latest.last,
                note=self._tuning_changed,
            ).run(),
            "transit": TransitWatch(
                clock=self._clock,
                last=lambda: self._latest.last,
                snapshot=lambda: self._board.snapshot,
                note=lambda transit: self._board.note(transit=transit),
                own_writes=self._filter.own_writes,
            ).run(),
            "probes": self._probing.run(),
            "mesh": self._probing.serve(),
            "docker": docker_watcher(self._settings(), self._clock, self._note_docker).run(),
        }

    async def _watch_kernel(self) -> None:
        # Before the underlay is known nothing is planned: nor are rules that stand taken for superfluous.
        self.filter_changed(await self._filter.start())
        self.facts_changed(await self._monitor.start())
        await self._monitor.run()

    # From the monitor (kernel.port.MonitorSink)

    def facts_changed(self, facts: HostFacts) -> None:
        before = self._loop.world.facts
        if before.underlay != facts.underlay or before.problem != facts.problem:
            _log_underlay(facts)
        self._loop.facts_changed(facts)
        if before.addresses != facts.addresses:
            self._session.addresses_changed(before.addresses - facts.addresses)
        self._leasing.world_changed()

    def kernel_moved(self, moved: Moved) -> None:
        self._loop.kernel_moved(moved)

    # From the packet filter (netfilter.part.FilterSink)

    def filter_changed(self, facts: FilterFacts) -> None:
        self._loop.filter_changed(facts)

    def filter_moved(self) -> None:
        self._loop.kernel_moved(Moved.FILTER)

    # From the loop

    def _pass_done(self, outcome: Pass) -> None:
        self._latest.last = outcome
        self._own_addresses.look(outcome.world)
        network = outcome.world.network
        if network is not None:
            # the ranges too: a foreign route that goes there may have stood where ours should
            ranges = [range_ for range_ in (network.network, network.network6) if range_ is not None]
            self._monitor.watch_links(choice.links(outcome.world), ranges)
            if outcome.decision.desired is not None:
                self._subnet_file.after_pass(outcome, choice.mtu(outcome.world))
        if outcome.world.own is None:
            self._subnet_file.let_go()
        self._prestartup.look(outcome.world)
        self._offload.pass_done(outcome)
        self._cloud.look(outcome.world, doubtful=self._peers_lost())
        self._wireguard.rotation.pass_done(outcome)
        self._leasing.pass_done(outcome)
        self._networks.pass_done(outcome)
        self._names.pass_done(outcome)
        self._board.note_pass(outcome)
        self._probing.pass_done(outcome)
        if (
            outcome.decision.desired is not None
            and not outcome.kept_from_peers
            and not self._programmed.is_set()
        ):
            self._programmed.set()
            # Peers live long: keep them, too, out of every later collection, which would stop the loop for tens of ms.
            gc.freeze()

    def _request_listing(self, reason: str) -> None:
        self._leasing.relist(reason)

    def _fit(self, policy: Policy, network: NetworkConfig) -> Policy:
        return self._wireguard.fit(self._data_plane.fit(policy, network), network)

    def _use_policy(self, policy: Policy) -> None:
        self._loop.policy_changed(policy)
        self._leasing.world_changed()

    def _refit_data_plane(self) -> None:
        self._use_policy(self._data_plane.refit(self._loop.world.policy))

    def _note_subnet_file(self, text: str, error: str) -> None:
        self._board.note(subnet_file=text, subnet_file_error=error)

    def _note_backend_error(self, error: str) -> None:
        self._board.note(backend_error=error)

    def _printed(self, printed: Printed) -> None:
        self._loop.printed_changed(printed)
        self._leasing.world_changed()

    def _clouds_changed(self, here: tuple[CloudHere, ...]) -> None:
        self._loop.clouds_changed(here)
        self._leasing.world_changed()

    def _peers_lost(self) -> bool:
        """Report whether probes find that peers do not answer: the provider may have lost a route.

        The condition tells, not the last round of probes: it waits out a flap, and providers limit requests.
        """
        conditions = self._board.snapshot.conditions
        return any(c.type is ConditionType.PEERS_REACHABLE and not c.healthy for c in conditions)

    def _probed(self, report: ReachReport) -> None:
        self._latest.reach = report
        self._board.note(reach=report)

    def _tuning_changed(self, tuning: HostTuning) -> None:
        self._latest.tuning = tuning
        self._board.note(tuning=tuning)

    def _note_docker(self, report: DockerReport) -> None:
        self._loop.docker_changed(waits=report.waits_for_forwarding)
        self._latest.docker = report
        self._board.note(docker=report)

    # Signals

    def _signalled(self, number: int) -> None:
        log.info("signal_received", signal=signal.Signals(number).name)
        self._stop.set()

    def _hung_up(self) -> None:
        with self._service.reloading(), suppress(FlanpyError):  # it is in the log
            self._settings.reload()

    def _use(self, settings: Settings) -> None:
        """Put into effect what a running daemon can. Raises FlanpyError, and then all stays as it was."""
        store_choice.use(self._session, settings)
        self._leasing.look_for_etcd()
        self._loop.set_interval(settings.resync_interval)
        self._offload.use(settings.vxlan_tx_checksum)
        self._leasing.use_margin(settings.subnet_lease_renew_margin)


def _log_underlay(facts: HostFacts) -> None:
    underlay = facts.underlay
    if underlay is None:
        log.warning("underlay_lost", reason=facts.problem)
        return
    address = underlay.address or underlay.address6
    log.info("underlay_chosen", link=underlay.link, address=address, mtu=underlay.mtu, reason=underlay.reason)
