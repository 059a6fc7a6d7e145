"""Part `passes`: what a reconcile pass costs without the kernel: admission, planning and deciding, by number of peers.

Run `python -m bench.passes [PEERS ...]`. Times are medians in milliseconds; `stall` is the longest time for which the
event loop did not get to run anything else, over all passes of that row.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network

import structlog

from bench.figures import Figure, figure
from bench.run import Run
from flanpy.clock import SystemClock
from flanpy.kernel.port import Moved, OpFailure
from flanpy.model.address import Mac
from flanpy.model.facts import HostFacts, HostRoute, Underlay
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey, VxlanData
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import KernelObject, Key, VxlanLink
from flanpy.model.ops import Objects, Op, Put, Scope
from flanpy.model.world import Policy
from flanpy.reconcile.loop import ReconcileLoop

NETWORK = NetworkConfig(
    network=IPv4Network("10.0.0.0/8"),
    subnet_len=24,
    subnet_min=IPv4Address("10.0.1.0"),
    subnet_max=IPv4Address("10.255.255.0"),
    backend_type="vxlan",
)
UNDERLAY = Underlay("eth0", 2, 1500, IPv4Address("172.16.0.1"), None, "bench")
FACTS = HostFacts(UNDERLAY, routes=(HostRoute(IPv4Network("172.16.0.0/12"), "eth0", None),))


def lease(number: int, *, mac: int = 0) -> Lease:
    """The lease of host `number`; 0 is our own."""
    subnet = IPv4Network((0x0A000100 + number * 256, 24))
    record = LeaseRecord(
        public_ip=IPv4Address(0xAC100001 + number),
        backend_type="vxlan",
        backend_data=VxlanData(Mac((0x020000000000 + number + (mac << 24)).to_bytes(6, "big")), 1),
        node_id=f"node-{number}",
    )
    return Lease(
        SubnetKey(subnet), record, lease_id=number + 1, create_revision=number + 10, mod_revision=number + 10
    )


class Leases:
    """The leases in etcd, as the store hands them out: a new mapping for each change, made by copying the last."""

    def __init__(self, peers: int) -> None:
        self.own = lease(0)
        self.now = {str(one.key): one for one in map(lease, range(peers + 1))}

    def put(self, one: Lease) -> None:
        self.now = {**self.now, str(one.key): one}

    def pop(self) -> None:
        self.now = self.now.copy()
        self.now.popitem()

    def view(self) -> LeaseView:
        return LeaseView(leases=self.now, revision=len(self.now), listings=1, stale=False)


@dataclass
class Memory:
    """The least that a kernel can be: it believes everything at once."""

    objects: dict[Key, KernelObject] = field(default_factory=dict)
    dump: dict[Key, KernelObject] = field(default_factory=dict)

    def make_dump(self) -> None:
        """Equal but new objects, as a real read-back gives; made beforehand, as they are not what is measured."""
        self.dump = {key: replace(obj) for key, obj in self.objects.items()}

    async def read_back(self, scope: Scope) -> Objects:
        await asyncio.sleep(0)
        return self.dump

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        await asyncio.sleep(0)
        for op in ops:
            if isinstance(op, Put):
                self.objects[op.obj.key] = op.obj
            elif not isinstance(op.obj, VxlanLink):
                self.objects.pop(op.obj.key, None)
        return ()


@dataclass
class Stall:
    """The longest gap between two turns of the event loop."""

    longest: float = 0.0

    async def watch(self) -> None:
        before = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.longest, before = max(self.longest, now - before), now


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of pass, in milliseconds."""

    name: str
    took: tuple[float, ...]
    stall: float


async def measured(name: str, loop: ReconcileLoop, change: Callable[[int], None], rounds: int) -> Row:
    took = []
    for turn in range(rounds):
        change(turn)
        before = time.perf_counter()
        await loop.run_pass()
        took.append(time.perf_counter() - before)
    stall = Stall()
    for turn in range(rounds, rounds + 5):
        change(turn)
        watcher = asyncio.create_task(stall.watch())
        await asyncio.sleep(0)
        await loop.run_pass()
        watcher.cancel()
    return Row(name, tuple(seconds * 1000 for seconds in took), stall.longest * 1000)


async def rows(peers: int) -> list[Row]:
    """Every kind of pass among so many peers."""
    kernel = Memory()
    loop = ReconcileLoop(
        kernel,
        Policy("node-0"),
        clock=SystemClock(),
        resync_interval=60.0,
        on_pass=lambda _: None,
        request_listing=lambda _: None,
    )
    leases = Leases(peers)
    loop.network_changed(NETWORK)
    loop.own_changed(leases.own, confirmed=True)
    loop.facts_changed(FACTS)

    def add(turn: int) -> None:
        leases.put(lease(len(leases.now)))
        loop.view_changed(leases.view())

    def alter(turn: int) -> None:
        leases.put(lease(5, mac=turn + 1))
        loop.view_changed(leases.view())

    def drop(turn: int) -> None:
        leases.pop()
        loop.view_changed(leases.view())

    def distrust(turn: int) -> None:
        kernel.make_dump()
        loop.kernel_moved(Moved.ROUTE)

    def more_mtu(turn: int) -> None:
        loop.facts_changed(replace(FACTS, underlay=replace(UNDERLAY, mtu=1501 + turn)))

    loop.view_changed(leases.view())
    return [
        await measured("first pass", loop, lambda _: None, 1),
        await measured("one lease added", loop, add, 40),
        await measured("one lease changed", loop, alter, 40),
        await measured("one lease gone", loop, drop, 40),
        await measured("nothing changed", loop, lambda _: None, 40),
        await measured("resync, nothing moved", loop, distrust, 5),
        await measured("underlay MTU changed", loop, more_mtu, 5),
    ]


def measure(run: Run) -> Iterable[Figure]:
    """The passes among 1,000 and 10,000 peers, as figures."""
    note = "ReconcileLoop.run_pass over a kernel in memory: admission, planning, decision and book-keeping."
    for peers in run.pick((1000, 10_000), (1000,)):
        run.say(f"passes: {peers:,} peers")
        for row in taken(peers):
            slug = row.name.replace(",", "").replace(" ", "_").lower()
            yield figure(f"passes.{peers}.{slug}", f"{peers:,} peers: {row.name}", "ms", row.took, note=note)


def taken(peers: int) -> list[Row]:
    """Measure in an event loop of its own, without log lines."""
    with quiet():
        found = asyncio.run(rows(peers))
    gc.collect()
    return found


@contextmanager
def quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def main() -> None:
    for peers in [int(text) for text in sys.argv[1:]] or [1000, 10000]:
        print(f"{peers} peers")
        for row in taken(peers):
            middle = statistics.median(row.took)
            print(f"  {row.name:<28}{middle:>9.3f} ms   stall {row.stall:>7.1f} ms")


if __name__ == "__main__":
    main()
