"""A reconcile loop over a kernel in memory and a clock that stands still, with everything it did on record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface
from random import Random

from flanpy.model.world import World
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass
from tests.fakes.clock import FakeClock
from tests.fakes.kernel import FakeKernel
from tests.plan.pipeline import agree, desired_of
from tests.states import POLICY

HOST_LINKS = {
    "eth0": (IPv4Interface("192.0.2.10/24"), IPv6Interface("2001:db8::a/64")),
    "eth1": (IPv4Interface("198.51.100.10/24"),),
}

INTERVAL = 60.0


def fake_kernel() -> FakeKernel:
    return FakeKernel(host_links=HOST_LINKS)


@dataclass
class Rig:
    kernel: FakeKernel = field(default_factory=fake_kernel)
    clock: FakeClock = field(default_factory=FakeClock)
    passes: list[Pass] = field(default_factory=list)
    listings: list[str] = field(default_factory=list)
    loop: ReconcileLoop = field(init=False)

    def __post_init__(self) -> None:
        self.loop = ReconcileLoop(
            self.kernel,
            POLICY,
            clock=self.clock,
            resync_interval=INTERVAL,
            on_pass=self.passes.append,
            request_listing=self.listings.append,
            rng=Random(1),
        )

    def show(self, world: World) -> None:
        """Let the loop's inputs become this world, as far as they differ from what they are."""
        now = self.loop.world
        if world.network is not now.network:
            self.loop.network_changed(world.network)
        if world.own is not now.own or world.own_confirmed is not now.own_confirmed:
            self.loop.own_changed(world.own, confirmed=world.own_confirmed)
        if world.view is not now.view:
            self.loop.view_changed(world.view)
        if world.facts is not now.facts:
            self.loop.facts_changed(world.facts)

    def stands(self, world: World) -> bool:
        return agree({**self.kernel.objects, **self.kernel.settings}, desired_of(world))

    @property
    def touches(self) -> tuple[int, int, int]:
        """Return the number of kernel reads, of kernel writes, and of passes."""
        return self.kernel.reads, self.kernel.writes, len(self.passes)


@asynccontextmanager
async def running(world: World | None = None, *, kernel: FakeKernel | None = None) -> AsyncIterator[Rig]:
    """A rig whose loop runs, and has come to rest on `world` if one is given."""
    rig = Rig(kernel or fake_kernel())
    task = asyncio.create_task(rig.loop.run())
    try:
        if world is not None:
            rig.show(world)
            await rig.clock.advance(1.0)
        yield rig
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
