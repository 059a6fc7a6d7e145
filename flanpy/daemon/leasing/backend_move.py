"""The move of this host from one backend to another, when the network config asks for it.

`plan.moving` has the rules; here they meet the clock, the leases and the loop. In: the config in force, each change of
the leases, each pass. Out: to the loop which network and former backend there are, the form in which leases are to be
shown, and the world whose backend our lease advertises. Must not write a lease or choose a config.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from flanpy.backend.choice import former_world
from flanpy.backend.cloud import stands
from flanpy.backend.registry import backend_for
from flanpy.clock import Clock
from flanpy.daemon.host_files import device_failed
from flanpy.log import get_logger
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import World
from flanpy.plan.admission import is_own
from flanpy.plan.moving import Ahead, Moving, Step
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass

log = get_logger()


class BackendMove:
    """The state of the move. `view` returns all leases; `show` is called when their form is to change, `say` when our
    lease is to say something else."""

    def __init__(
        self,
        *,
        clock: Clock,
        loop: ReconcileLoop,
        view: Callable[[], LeaseView],
        show: Callable[[], None],
        say: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._loop = loop
        self._view = view
        self._show = show
        self._say = say
        self._network: NetworkConfig | None = None
        self._moving = Moving()
        self._ahead = Ahead()
        self._news = asyncio.Event()

    def begin(self, network: NetworkConfig, own: Lease | None) -> None:
        """This config is in force from now on; `own` is our lease as peers know it."""
        self._moving = self._moving.begun(self._network, network, own)
        self._network = network
        self._loop.network_changed(network, self._moving.former)
        self.review()

    def advertised(self, own: Lease | None) -> World:
        """The world whose backend our lease is to name: the former one until the new one stands here."""
        self._moving = self._moving.told(own)
        world = replace(self._loop.world, network=self._network, own=own, former=self._moving.former)
        return world if self._moving.stands else former_world(world) or world

    def announced(self) -> str:
        """Return the key of WireGuard that our lease is to announce beside another backend, "" for none."""
        return self._loop.world.policy.advertised_key if self._moving.announces() else ""

    def stood(self, outcome: Pass) -> bool:
        """Report whether this pass completed the network's backend, so that our lease may say more of it."""
        network = outcome.world.network
        if self._moving.stands or self._moving.placed or network is None or network is not self._network:
            return False
        if backend_for(network.backend_type).planner(outcome.world) is None:
            return False
        if outcome.decision.desired is None or outcome.error or device_failed(outcome):
            return False
        if not stands(outcome.world):
            return False
        self._moving = self._moving.built(network)
        return True

    def shown(self, view: LeaseView) -> LeaseView:
        """The view with leases that are ahead of our config as they were."""
        return self._ahead.shown(view)

    def review(self, step: Step | None = None) -> None:
        """Judge by the leases who is where on the way; `step` is the last change of them."""
        network, now = self._network, self._clock.monotonic()
        if network is None:
            return
        view = self._view()
        before = self._moving
        if before.awaits_key:
            own = next((lease for lease in view.leases.values() if is_own(lease, self._loop.world)), None)
            self._moving = before.key_known(own, now)
        ahead = self._ahead.after(step or Step(view, view, ()), network, self._moving, now)
        if ahead is not self._ahead:
            self._ahead = ahead
            self._show()
        former = self._moving.former
        if former is not None:
            world = self._loop.world
            peers = [lease for lease in view.leases.values() if not is_own(lease, world)]
            self._moving = self._moving.after(peers, now)
        if self._moving.former is not self._loop.world.former:
            self._loop.network_changed(network, self._moving.former)
        if former is not None and self._moving.former is None:
            log.info("backend_moved", backend=network.backend_type, previous=former.network.backend_type)
        if self._moving.announces() != before.announces() or self._moving.stands != before.stands:
            self._say()
        if self._pause() is not None:
            self._news.set()

    async def run(self) -> None:
        """Review the move, without end, after the time of the old backend or of a lease ahead of our config."""
        while True:
            await self._news.wait()
            self._news.clear()
            while (pause := self._pause()) is not None:
                await self._clock.sleep(pause)
                self.review()

    def _pause(self) -> float | None:
        now = self._clock.monotonic()
        pauses = (self._moving.pause(now), self._ahead.pause(now))
        return min((pause for pause in pauses if pause is not None), default=None)
