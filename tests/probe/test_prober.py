"""The prober with real sockets on loopback, where the kernel answers: rounds, reports, and refused packets."""

from __future__ import annotations

import asyncio
import errno
import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any, ClassVar

import pytest

from flanpy.clock import SystemClock
from flanpy.errors import KernelError, UnableToAsk
from flanpy.model.address import Family, IPAddress
from flanpy.model.reach import PeerReach, Reach, ReachReport, Trouble
from flanpy.probe.diagnosis import LocalFaults
from flanpy.probe.icmp import NO_PERMISSION, EchoRefused, EchoSocket
from flanpy.probe.packet import Probe
from flanpy.probe.prober import AGAIN, MTU_EVERY, SEARCHES, Prober
from flanpy.probe.retries import AT_ONCE, EVERY_S
from flanpy.probe.target import Target
from flanpy.probe.tcp_probe import tcp_probe_at
from flanpy.probe.track import PATIENCE, STEPS
from flanpy.probe.turns import AT_RANDOM, IN_DOUBT
from tests.probe.worlds import target

pytestmark = pytest.mark.netns  # raw sockets need root

INTERVAL = 0.25
TCP = tcp_probe_at(1, SystemClock())


def probed(targets: Sequence[Target], rounds: int = 1, **more: Any) -> list[ReachReport]:
    """The reports of so many rounds, each run at once."""

    async def work() -> list[ReachReport]:
        prober = Prober(
            clock=SystemClock(), here="n0", interval=lambda: INTERVAL, targets=lambda: tuple(targets),
            local_faults_of=lambda _: LocalFaults(), publish=lambda _: None, dice=Random(1),
            **{"tcp_probe": TCP, **more},
        )  # fmt: skip
        try:
            return [await prober.round() for _ in range(rounds)]
        finally:
            prober.close()

    return asyncio.run(work())


async def nobody(address: IPAddress, deadline: float) -> float | None:
    """A peer that answers no TCP, whatever the network of this machine does with such addresses."""
    return None if address.is_reserved else await TCP(address, deadline)


def silent(number: int) -> Target:
    """A peer at documentation addresses that nothing here answers for: our own filterless host drops or refuses."""
    return replace(target(number), overlay=IPv4Address("240.0.0.1"), underlay=IPv4Address("240.0.0.2"))


def test_peers_that_answer_are_reachable_after_one_round_with_their_round_trips() -> None:
    (report,) = probed([target(1), target(2)])
    assert (report.of, report.probed, report.round, report.problem) == (2, 2, 1, "")
    for peer in report.peers.values():
        assert peer.reach is Reach.REACHABLE
        assert peer.overlay.rtt is not None
        assert peer.overlay.rtt >= 0
        assert peer.underlay.answered == 1
    assert report.rtt_buckets[float("inf")] == 2


def test_both_families_are_probed_and_the_worse_one_tells() -> None:
    """P22"""
    six = replace(target(1), family=Family.IPV6, overlay=IPv6Address("::1"), underlay=IPv6Address("::1"))
    report = probed([target(1), six], rounds=2)[-1]
    assert [peer.reach for peer in report.peers.values()] == [Reach.REACHABLE]
    assert probed([six], rounds=2)[-1].peers[six.key].mtu.passed == six.wanted
    dead = replace(six, overlay=IPv6Address("100::1"), underlay=IPv6Address("100::2"))
    (report,) = probed([target(1), dead])
    (peer,) = report.peers.values()
    assert (peer.reach, peer.public_ip) == (Reach.UNREACHABLE, dead.underlay)


def test_path_is_measured_with_packets_of_full_size_once_the_peer_is_reached() -> None:
    report = probed([target(1)], rounds=2)[-1]
    (peer,) = report.peers.values()
    assert (peer.mtu.passed, peer.mtu.wanted) == (1450, 1450)


def test_one_round_gives_a_verdict_on_a_peer_that_stays_silent() -> None:
    (report,) = probed([silent(1), target(2)], tcp_probe=nobody)
    peer = report.peers[target(1).key]
    assert peer.reach is Reach.UNREACHABLE
    assert peer.diagnosis.trouble is not Trouble.NONE
    assert report.peers[target(2).key].reach is Reach.REACHABLE


def test_packets_of_a_round_are_bounded_however_many_peers_there_are() -> None:
    first, second = probed([target(n) for n in range(1, 201)], rounds=2)
    most = (AT_RANDOM + IN_DOUBT) * 2 + SEARCHES * (STEPS + 1)
    assert first.probed == AT_RANDOM
    assert first.packets_sent <= most
    assert second.packets_sent - first.packets_sent <= most


class Cuttable(EchoSocket):
    """A real socket whose packets to some addresses are lost, as long as they are named."""

    lost: ClassVar[set[object]] = set()

    def send(self, target: IPAddress, probe: Probe, *, size: int = 0) -> None:
        if target not in self.lost:
            super().send(target, probe, size=size)


async def cuttable_probe(address: IPAddress, deadline: float) -> float | None:
    """A real connection, unless packets to that address are lost."""
    return None if address in Cuttable.lost else await TCP(address, deadline)


def run_among(count: int, interval: float, work: Callable[[Running], Awaitable[None]]) -> None:
    """Let a prober run among so many peers, while `work` looks at it."""

    async def both() -> None:
        reports: asyncio.Queue[ReachReport] = asyncio.Queue()
        prober = Prober(
            clock=SystemClock(), here="n0", interval=lambda: interval,
            targets=functools.cache(lambda: tuple(target(n) for n in range(1, count + 1))),
            local_faults_of=lambda _: LocalFaults(), publish=reports.put_nowait, tcp_probe=cuttable_probe,
            dice=Random(1), open_socket=Cuttable,
        )  # fmt: skip
        running = asyncio.create_task(prober.run())
        try:
            async with asyncio.timeout(120):
                await work(Running(prober, reports))
        finally:
            Cuttable.lost.clear()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(both())


@dataclass
class Running:
    prober: Prober
    reports: asyncio.Queue[ReachReport]

    async def says(self, number: int, reach: Reach) -> PeerReach:
        """Wait for a report that says so of that peer."""
        while True:
            peer = (await self.reports.get()).peers.get(target(number).key)
            if peer is not None and peer.reach is reach:
                return peer


def test_peer_that_answers_by_tcp_alone_is_not_silent_while_this_host_cannot_ask() -> None:
    able = True

    async def by_tcp(address: IPAddress, deadline: float) -> float | None:
        if not able:
            raise UnableToAsk("no descriptors")
        return await TCP(address, deadline)

    async def work() -> None:
        nonlocal able
        prober = Prober(
            clock=SystemClock(), here="n0", interval=lambda: INTERVAL, targets=lambda: (target(1),),
            local_faults_of=lambda _: LocalFaults(), publish=lambda _: None, tcp_probe=by_tcp, open_socket=Cuttable,
        )  # fmt: skip
        Cuttable.lost = {target(1).overlay, target(1).underlay}
        reaches = []
        for number in range(3 * PATIENCE):
            able = number < PATIENCE
            report = await prober.round()
            reaches.append(report.peers[target(1).key].reach)
        prober.close()
        assert set(reaches[PATIENCE - 1 :]) == {Reach.REACHABLE}

    try:
        asyncio.run(work())
    finally:
        Cuttable.lost = set()


def test_cut_is_seen_long_before_three_rounds_are_over_and_its_end_as_well() -> None:
    """P06"""
    interval = 12.0

    async def work(running: Running) -> None:
        await running.says(1, Reach.REACHABLE)
        round_ = running.prober.report.round
        Cuttable.lost = {target(1).overlay}
        peer = await running.says(1, Reach.UNREACHABLE)
        assert peer.diagnosis.trouble is Trouble.PORT_BLOCKED
        assert running.prober.report.round - round_ < 3
        assert running.prober.report.peers[target(2).key].reach is Reach.REACHABLE
        Cuttable.lost = set()
        await running.says(1, Reach.REACHABLE)

    run_among(2, interval, work)


def test_outage_of_everybody_is_no_storm_of_probes() -> None:
    interval, count = 8.0, 16

    async def work(running: Running) -> None:
        await running.says(count, Reach.REACHABLE)
        Cuttable.lost = {
            address for n in range(1, count + 1) for address in (target(n).overlay, target(n).underlay)
        }
        began, sent = time.monotonic(), running.prober.report.packets_sent
        for number in range(1, count + 1):
            while running.prober.report.peers[target(number).key].reach is not Reach.UNREACHABLE:
                await running.reports.get()
        took, sent = time.monotonic() - began, running.prober.report.packets_sent - sent
        retries = (took / EVERY_S + 1) * AT_ONCE * (2 + AGAIN - 1)
        rounds = (took / interval + 1) * count * 4
        assert sent <= retries + rounds

    run_among(count, interval, work)


def test_healthy_peer_is_sent_two_small_packets_a_round() -> None:
    peers, rounds = 3, 8

    async def work(running: Running) -> None:
        await running.says(1, Reach.REACHABLE)
        while running.prober.report.round < 2:
            await running.reports.get()
        start = running.prober.report
        while running.prober.report.round < start.round + rounds:
            await running.reports.get()
        sent = running.prober.report.packets_sent - start.packets_sent
        of_full_size = rounds * 1.5 / MTU_EVERY + 2
        assert sent <= 1.5 * peers * (2 * rounds + of_full_size)

    run_among(peers, 1.0, work)


def test_peer_that_left_is_forgotten() -> None:
    peers = [target(1), target(2)]

    async def work() -> None:
        prober = Prober(
            clock=SystemClock(), here="n0", interval=lambda: INTERVAL, targets=lambda: tuple(peers),
            local_faults_of=lambda _: LocalFaults(), publish=lambda _: None, tcp_probe=TCP,
        )  # fmt: skip
        await prober.round()
        gone = peers.pop()
        report = await prober.round()
        prober.close()
        assert gone.key not in report.peers
        assert report.of == 1

    asyncio.run(work())


def test_missing_permission_is_said_with_its_cure() -> None:
    def refuse(*_: object) -> Any:
        raise KernelError(NO_PERMISSION, errno.EPERM)

    (report,) = probed([target(1)], open_socket=refuse)
    assert "CAP_NET_RAW" in report.problem
    assert not report.peers


class Refusing:
    """A socket whose kernel refuses every packet with one error."""

    deaf = False

    def __init__(self, code: int) -> None:
        self.code = code

    def __call__(self, *_: object) -> Refusing:
        return self

    def send(self, target: object, *_: object, **__: object) -> None:
        raise EchoRefused(f"cannot send to {target}", self.code)

    def close(self) -> None:
        pass


def test_full_send_buffers_are_not_counted_as_loss() -> None:
    (report,) = probed([target(1)], open_socket=Refusing(errno.ENOBUFS))
    (peer,) = report.peers.values()
    assert (peer.overlay.sent, peer.overlay.loss) == (0, 0.0)


def test_packet_filter_of_this_host_is_named_when_it_refuses_to_let_probes_out() -> None:
    report = probed([target(1)], open_socket=Refusing(errno.EPERM))[-1]
    (peer,) = report.peers.values()
    assert peer.diagnosis.trouble is Trouble.FIREWALL


def test_wall_clock_that_jumps_changes_no_round_trip() -> None:
    class Jumping(SystemClock):
        wall_now = 1e9

        def wall(self) -> float:
            self.wall_now += 3600
            return self.wall_now

    times: Callable[[], float] = lambda: INTERVAL  # noqa: E731

    async def work() -> None:
        prober = Prober(
            clock=Jumping(), here="n0", interval=times, targets=lambda: (target(1),),
            local_faults_of=lambda _: LocalFaults(), publish=lambda _: None, tcp_probe=TCP,
        )  # fmt: skip
        (peer,) = (await prober.round()).peers.values()
        prober.close()
        assert peer.overlay.rtt is not None
        assert 0 <= peer.overlay.rtt < 60

    asyncio.run(work())
