"""After any sequence of faults and a calm, the kernel is what is desired, and nothing else was touched.

Real namespace, real NetlinkKernel, Monitor and ReconcileLoop, put together as the daemon does; leases are handed to the
loop directly, so that hundreds of faults fit into seconds. One host lives through all histories.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from flanpy.backend import choice
from flanpy.clock import SystemClock
from flanpy.kernel.monitor import Monitor
from flanpy.kernel.port import Moved
from flanpy.kernel.request import open_netlink
from flanpy.kernel.underlay import UnderlayChoice
from flanpy.model.facts import HostFacts
from flanpy.model.lease import Lease
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import Setting
from flanpy.model.ops import Objects, Scope
from flanpy.plan.admission import admit
from flanpy.plan.ownership import split
from flanpy.plan.render import render
from flanpy.reconcile.loop import ReconcileLoop
from flanpy.reconcile.outcome import Pass
from tests.lab.overlay import DECOY_LINES
from tests.netns import Namespace, namespace, opened_kernel
from tests.states import DUAL, POLICY, lease, options, view

pytestmark = [pytest.mark.netns, pytest.mark.lab]

HISTORIES = int(os.environ.get("FLANPY_HISTORIES", "50"))
CALM_S = 10.0
PEERS = range(1, 9)
LINKS = ("flannel.1", "flannel-v6.1")
BASE = frozenset((number, 0) for number in PEERS)
NETWORKS = {
    "plain": DUAL,
    "another VNI": options(DUAL, vni=2),
    "DirectRouting": options(DUAL, directrouting=True),
    "smaller MTU": options(DUAL, mtu=1400),
}
UNDERLAY = """
ip link set wan0 down; ip link set wan0 name eth0
ip link add eth0 type veth peer name far0
ip link set far0 up; ip link set eth0 mtu 1500 up
ip address del 192.0.2.99/24 dev eth0
ip address replace 192.0.2.10/24 dev eth0
ip address replace 2001:db8::a/64 dev eth0 nodad
ip route replace default via 192.0.2.1 dev eth0
ip route flush proto static root 10.50.0.0/16
ip -6 route flush proto static root fd50::/48
"""
DECOYS = """
ip -d link show dev decoyvx; ip link show dev decoybr; ip -d link show dev decoyve
for link in decoyvx decoybr decoyve; do
  ip address show dev $link; ip neighbour show dev $link nud permanent
  ip route show table all dev $link; ip -6 route show table all dev $link proto static
done
bridge fdb show dev decoyvx; ip route show type blackhole; ip rule
"""
OURS = """
for link in flannel.1 flannel-v6.1; do
  ip -d link show dev $link; ip address show dev $link scope global
  ip neighbour show dev $link nud permanent; ip -6 neighbour show dev $link nud permanent; bridge fdb show dev $link
done
ip route show table all proto 70; ip -6 route show table all proto 70
"""


class World:
    """One host, alive: what the daemon would connect."""

    def __init__(self, here: Namespace, stack: ExitStack) -> None:
        self.here = here
        self.kernel = stack.enter_context(opened_kernel(here))
        self.passes: list[Pass] = []
        self.loop = ReconcileLoop(
            self.kernel,
            POLICY,
            clock=SystemClock(),
            resync_interval=3600.0,  # nothing below may heal by the timer
            on_pass=self._pass_done,
            request_listing=lambda reason: None,
        )
        self.monitor = Monitor(
            UnderlayChoice(iface=("eth0",)),
            self,
            writer=self.kernel,
            open_socket=lambda: here.do(open_netlink),
        )
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def _pass_done(self, outcome: Pass) -> None:
        self.passes.append(outcome)
        network = outcome.world.network
        if network is not None:
            ranges = [range_ for range_ in (network.network, network.network6) if range_ is not None]
            self.monitor.watch_links(choice.links(outcome.world), ranges)

    def facts_changed(self, facts: HostFacts) -> None:
        self.loop.facts_changed(facts)

    def kernel_moved(self, moved: Moved) -> None:
        self.loop.kernel_moved(moved)

    async def start(self) -> None:
        self.facts_changed(await self.monitor.start())
        self._tasks = (asyncio.create_task(self.monitor.run()), asyncio.create_task(self.loop.run()))
        self.loop.own_changed(lease(0, DUAL), confirmed=True)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def show(self, peers: frozenset[tuple[int, int]], network: NetworkConfig) -> None:
        """Make these the leases and the network config, as etcd's news would."""
        if network is not self.loop.world.network:
            self.loop.network_changed(network)
        known = self.loop.world.view.listings
        self.loop.view_changed(
            view([lease(0, DUAL), *(_peer(*peer) for peer in sorted(peers))], listings=known + 1)
        )

    def desired(self) -> Objects | None:
        now = self.loop.world
        assert now.network is not None
        return choice.plan(now, admit(now).peers)

    async def standing(self, desired: Objects) -> Objects:
        """Return our objects that stand, by a fresh read-back."""
        wanted = tuple(o for o in desired.values() if isinstance(o, Setting))
        now = self.loop.world
        assert now.network is not None
        links = choice.links(now)
        return split(await self.kernel.read_back(Scope(links, wanted))).owned

    async def calm(self) -> None:
        """The underlay is as at the start and foreign routes are gone; wait until the kernel is what is desired."""
        await self.shell(UNDERLAY)
        end = time.monotonic() + CALM_S
        while not await self._is_calm():
            if time.monotonic() > end:
                ops = [render(op) for op in (await self.loop.preview()).ops]
                raise AssertionError(f"still to do after {CALM_S:g} s: {ops}, facts {self.loop.world.facts}")
            await asyncio.sleep(0.01)

    async def _is_calm(self) -> bool:
        if not _as_at_the_start(self.loop.world.facts):
            return False
        decision = await self.loop.preview()
        return decision.settles and not decision.ops and not decision.difference.conflicts

    async def shell(self, lines: str) -> str:
        return await asyncio.to_thread(self._shell, lines)

    def _shell(self, lines: str) -> str:
        done = subprocess.run(
            ["nsenter", f"--net={self.here.path}", "--", "sh"],
            input=lines, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return "\n".join(line.split(": ", 1)[-1] for line in done.stdout.splitlines())  # without the ifindex


def _as_at_the_start(facts: HostFacts) -> bool:
    """Report whether the monitor has seen all of UNDERLAY."""
    underlay = facts.underlay
    if underlay is None:
        return False
    hops = {(str(route.destination), str(route.gateway)) for route in facts.routes if route.link == "eth0"}
    needed = {("0.0.0.0/0", "192.0.2.1"), ("192.0.2.0/24", "None"), ("2001:db8::/64", "None")}
    seen = (underlay.mtu, str(underlay.address), str(underlay.address6))
    return seen == (1500, "192.0.2.10", "2001:db8::a") and needed <= hops


def _peer(number: int, variant: int) -> Lease:
    if variant == 1:
        return lease(number, DUAL, mac=f"02:0a:00:00:00:{number:02x}")
    if variant == 2:
        return lease(number, DUAL, public=f"192.0.2.{number + 110}")
    return lease(number, DUAL)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as running:
        yield running


@dataclass(frozen=True)
class Stage:
    """A world that stands, and how everything looked when nothing had happened to it yet."""

    world: World
    decoys: str
    ours: str


@pytest.fixture(scope="module")
def stage(runner: asyncio.Runner) -> Iterator[Stage]:
    with namespace("any") as here, ExitStack() as stack:

        async def begin() -> Stage:
            here.sysctl("net/ipv6/conf/default/accept_dad", "0")
            here.run("sh", stdin=UNDERLAY, check=False)
            here.run("ip", "-batch", "-", stdin="\n".join(DECOY_LINES))
            here.bridge("fdb append 02:de:c0:00:00:0b dev decoyvx dst 192.0.2.77 self permanent")
            world = World(here, stack)
            await world.start()
            world.show(BASE, DUAL)
            await world.calm()
            return Stage(world, await world.shell(DECOYS), await world.shell(OURS))

        begun = runner.run(begin())
        try:
            yield begun
        finally:
            runner.run(begun.world.stop())


Step = str | float | tuple[frozenset[tuple[int, int]], str]

_ON_A_LINK = (
    "ip link del {link}",
    "ip link set {link} down",
    "ip link set {link} up",
    "ip link set {link} address 02:66:00:00:00:{byte:02x}",
    "ip link set {link} mtu {mtu}",
    "ip link set {link} alias ''",
    "ip link set {link} type vxlan id 1 learning",
    "ip link set {link} down; ip link set {link} name gone{byte}",
    "ip address flush dev {link}",
    "ip address add 10.50.200.{byte}/32 dev {link}",
    "ip address add fd50:ffff::{byte:x}/128 dev {link} nodad",
    "ip neighbour flush dev {link} nud permanent",
    "ip neighbour replace 10.50.201.{byte} lladdr 02:66:00:00:00:01 dev {link} nud permanent",
    "bridge fdb append 02:66:00:00:01:{byte:02x} dev {link} dst 192.0.2.{byte} self permanent",
    "bridge fdb append 00:00:00:00:00:00 dev {link} dst 192.0.2.{byte} self permanent",
    "ip route flush dev {link}; ip -6 route flush dev {link}",
    "ip route add 10.50.202.0/24 dev {link} proto static",
)
_ON_A_PEER = (
    "ip neighbour del {vtep} dev flannel.1",
    "ip neighbour replace {vtep} lladdr 02:66:00:00:00:{byte:02x} dev flannel.1 nud permanent",
    "ip neighbour replace {vtep} lladdr 02:66:00:00:00:{byte:02x} dev flannel.1 nud reachable",
    "ip neighbour del {vtep6} dev flannel-v6.1",
    "ip neighbour replace {vtep6} lladdr 02:66:00:00:00:{byte:02x} dev flannel-v6.1 nud permanent",
    "bridge fdb del {mac} dev flannel.1",
    "bridge fdb replace {mac} dev flannel.1 dst 192.0.2.{byte} self permanent",
    "bridge fdb append {mac} dev flannel.1 dst 192.0.2.{byte} self permanent",
    "bridge fdb append {mac6} dev flannel-v6.1 dst 2001:db8::{byte:x} self permanent",
    "ip route del {subnet} proto 70",
    "ip route replace {subnet} via 10.50.201.1 dev flannel.1 onlink",
    "ip route replace {subnet} dev flannel.1 proto 70",
    "ip route add {subnet} dev flannel.1 proto 70 metric {byte}",
    "ip route replace {subnet} via 192.0.2.{byte} dev eth0 proto static",
    "ip route replace unreachable {subnet} proto static",
    "ip -6 route del {subnet6} proto 70",
    "ip -6 route replace {subnet6} dev flannel-v6.1 proto 70",
    "ip -6 route add {subnet6} via 2001:db8::1 dev eth0 proto static",
)
_ON_THE_HOST = (
    "ip route flush proto 70; ip -6 route flush proto 70",
    "echo 0 > /proc/sys/net/ipv4/ip_forward",
    "echo 0 > /proc/sys/net/ipv6/conf/all/forwarding",
    "echo 1 > /proc/sys/net/ipv4/conf/flannel.1/rp_filter",
    "echo 1 > /proc/sys/net/ipv4/conf/flannel.1/proxy_arp",
    "echo 0 > /proc/sys/net/ipv4/conf/flannel.1/forwarding",
    "echo 1 > /proc/sys/net/ipv6/conf/flannel-v6.1/disable_ipv6",
    "ip link set eth0 down",
    "ip link set eth0 down; ip link set eth0 up",
    "ip link del eth0",
    "ip link set eth0 mtu {mtu}",
    "ip address add 192.0.2.99/24 dev eth0; ip address del 192.0.2.10/24 dev eth0",
    "ip address del 2001:db8::a/64 dev eth0",
    "ip link set eth0 down; ip link set eth0 name wan0; ip link set wan0 up",
    "ip route del default",
)


def _lines(template: str, link: str, number: int, byte: int, mtu: int) -> str:
    one = _peer(number, 0)
    assert one.key.subnet is not None
    assert one.key.subnet6 is not None
    return template.format(
        link=link, byte=byte, mtu=mtu,
        subnet=one.key.subnet, vtep=one.key.subnet.network_address, mac=f"02:00:00:00:00:{number:02x}",
        subnet6=one.key.subnet6, vtep6=one.key.subnet6.network_address, mac6=f"06:00:00:00:00:{number:02x}",
    )  # fmt: skip


faults = st.builds(
    _lines,
    st.one_of(st.sampled_from(_ON_A_LINK), st.sampled_from(_ON_A_PEER), st.sampled_from(_ON_THE_HOST)),
    st.sampled_from(LINKS),
    st.sampled_from(PEERS),
    st.integers(2, 98),
    st.sampled_from((1360, 1400, 1499, 2000)),  # below 1350 the overlay has no room for IPv6 (RFC 8200: 1280)
)
crowds = st.sets(st.sampled_from(PEERS)).flatmap(
    lambda numbers: st.tuples(*(st.tuples(st.just(number), st.integers(0, 2)) for number in sorted(numbers)))
)
news = st.tuples(crowds.map(frozenset), st.sampled_from(sorted(NETWORKS)))
pauses = st.sampled_from((0.0, 0.001, 0.02, 0.12))
histories = st.lists(st.one_of(faults, faults, faults, news, pauses), min_size=1, max_size=14)


@settings(
    max_examples=HISTORIES,
    deadline=None,
    # no shrinking: what fails by its timing fails not again, and each failure costs a whole calm
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories)
def test_p11_p13_p14_kernel_is_what_is_desired_after_any_faults_and_a_calm(
    runner: asyncio.Runner, stage: Stage, history: list[Step]
) -> None:
    runner.run(_live_through(stage, history))


async def _live_through(stage: Stage, history: list[Step]) -> None:
    world = stage.world
    for step in history:
        match step:
            case str():
                await world.shell(step)
            case float():
                await asyncio.sleep(step)
            case (peers, network):
                world.show(peers, NETWORKS[network])
    await world.calm()
    desired = world.desired()
    assert desired is not None
    assert dict(await world.standing(desired)) == dict(desired)
    assert await world.shell(DECOYS) == stage.decoys

    # and back: iproute2, which knows nothing of us, sees no difference to the beginning
    world.show(BASE, DUAL)
    await world.calm()
    assert _sorted(await world.shell(OURS)) == _sorted(stage.ours)
    assert world.loop.observed.owned == world.desired()


def _sorted(text: str) -> list[str]:
    return sorted(text.splitlines())


def test_idle_host_passes_no_more_once_it_is_calm(runner: asyncio.Runner, stage: Stage) -> None:
    async def idle() -> list[Pass]:
        stage.world.show(BASE, DUAL)
        await stage.world.calm()
        await asyncio.sleep(0.3)
        before = len(stage.world.passes)
        await asyncio.sleep(1.0)
        return stage.world.passes[before:]

    assert runner.run(idle()) == []
