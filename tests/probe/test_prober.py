"""The prober with real sockets on loopback, where the kernel answers: rounds, reports, and refused packets."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from random import Random
from typing import Any

import pytest

from flanpy.clock import SystemClock
from flanpy.errors import KernelError
from flanpy.model.address import Family
from flanpy.model.reach import Reach, ReachReport, Trouble
from flanpy.probe.diagnosis import Snags
from flanpy.probe.icmp import NO_PERMISSION, EchoRefused
from flanpy.probe.prober import KNOCKS, TRIES, Prober
from flanpy.probe.target import Target
from flanpy.probe.track import PATIENCE
from flanpy.probe.turns import AT_RANDOM, IN_DOUBT
from tests.probe.worlds import target

pytestmark = pytest.mark.netns  # raw sockets need root

INTERVAL = 0.25


def probed(targets: Sequence[Target], rounds: int = 1, **more: Any) -> list[ReachReport]:
    """The reports of so many rounds, each run at once."""

    async def work() -> list[ReachReport]:
        prober = Prober(
            clock=SystemClock(), here="n0", interval=lambda: INTERVAL, targets=lambda: tuple(targets),
            snags_of=lambda _: Snags(), publish=lambda _: None, knock_port=1, dice=Random(1), **more,
        )  # fmt: skip
        try:
            return [await prober.round() for _ in range(rounds)]
        finally:
            prober.close()

    return asyncio.run(work())


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
    report = probed([target(1), dead], rounds=PATIENCE)[-1]
    (peer,) = report.peers.values()
    assert (peer.reach, peer.public_ip) == (Reach.UNREACHABLE, dead.underlay)


def test_path_is_measured_with_packets_of_full_size_once_the_peer_is_reached() -> None:
    report = probed([target(1)], rounds=2)[-1]
    (peer,) = report.peers.values()
    assert (peer.mtu.passed, peer.mtu.wanted) == (1450, 1450)


def test_peer_that_cannot_be_sent_to_is_unreachable_after_three_rounds() -> None:
    reports = probed([silent(1), target(2)], rounds=PATIENCE)
    key = target(1).key
    assert reports[-2].peers[key].reach is Reach.UNKNOWN
    assert reports[-1].peers[key].reach is Reach.UNREACHABLE
    assert reports[-1].peers[key].diagnosis.trouble is not Trouble.NONE
    assert reports[-1].peers[target(2).key].reach is Reach.REACHABLE


def test_packets_of_a_round_are_bounded_however_many_peers_there_are() -> None:
    first, second = probed([target(n) for n in range(1, 201)], rounds=2)
    most = (AT_RANDOM + IN_DOUBT) * (2 + TRIES) + 8 * 8 + KNOCKS
    assert first.probed == AT_RANDOM
    assert first.packets_sent <= most
    assert second.packets_sent - first.packets_sent <= most


def test_peer_that_left_is_forgotten() -> None:
    peers = [target(1), target(2)]

    async def work() -> None:
        prober = Prober(
            clock=SystemClock(), here="n0", interval=lambda: INTERVAL, targets=lambda: tuple(peers),
            snags_of=lambda _: Snags(), publish=lambda _: None, knock_port=1,
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
    report = probed([target(1)], rounds=PATIENCE, open_socket=Refusing(errno.EPERM))[-1]
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
            snags_of=lambda _: Snags(), publish=lambda _: None, knock_port=1,
        )  # fmt: skip
        (peer,) = (await prober.round()).peers.values()
        prober.close()
        assert peer.overlay.rtt is not None
        assert 0 <= peer.overlay.rtt < 60

    asyncio.run(work())
