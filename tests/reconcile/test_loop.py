"""The actions of the reconcile loop, and their times: passes, read-backs, retries, repairs."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from flanpy.kernel.port import Moved, OpFailure
from flanpy.model.address import Mac
from flanpy.model.facts import HostFacts
from flanpy.model.objects import HostSysctl, LinkFeature, LinkSysctl, Neighbour, Route
from flanpy.model.ops import Delete, Objects, Op, Scope
from flanpy.model.world import World
from flanpy.plan.gates import Gate
from flanpy.plan.render import render
from flanpy.reconcile.loop import HOLD_OFF, RELIST_DELAY, THREAD_FROM
from tests.fakes.clock import settle
from tests.fakes.kernel import FakeKernel
from tests.plan.pipeline import desired_of
from tests.reconcile.rig import HOST_LINKS, INTERVAL, Rig, fake_kernel, running
from tests.states import EXPANDERS, FACTS, OPEN, V4, WORLDS, crowd, lease, view, world

pytestmark = pytest.mark.asyncio

SETTINGS = (LinkFeature, LinkSysctl, HostSysctl)


def objects_of(world: World) -> int:
    """Return how many objects a world takes; settings are none, as the kernel has each from the start."""
    return sum(not isinstance(one, SETTINGS) for one in (desired_of(world) or {}).values())


def link_of_ours(rig: Rig) -> object:
    return rig.kernel.objects["link", "flannel.1"]


# News


async def test_a_peer_is_programmed_and_removed_again() -> None:
    async with running(crowd(1)) as rig:
        assert rig.stands(crowd(1))
        rig.show(crowd(3))
        await settle()
        assert rig.stands(crowd(3))
        rig.show(crowd(1))
        await settle()
        assert rig.stands(crowd(1))


async def test_a_burst_of_news_costs_one_pass() -> None:
    async with running(crowd(1)) as rig:
        before = len(rig.passes)
        for number in range(2, 12):
            rig.show(crowd(number))
        await settle()
        assert len(rig.passes) == before + 1
        assert rig.stands(crowd(11))


class Slow(FakeKernel):
    """Holds every write until it is let go."""

    def __init__(self) -> None:
        super().__init__(host_links=HOST_LINKS)
        self.gate = asyncio.Event()
        self.gate.set()

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        await self.gate.wait()
        return await super().apply(ops)


async def test_news_that_comes_during_a_write_costs_one_more_pass() -> None:
    kernel = Slow()
    async with running(crowd(1), kernel=kernel) as rig:
        before = len(rig.passes)
        kernel.gate.clear()
        rig.show(crowd(2))
        await settle()
        for number in range(3, 9):
            rig.show(crowd(number))
            await settle()
        kernel.gate.set()
        await settle()
        assert len(rig.passes) == before + 2
        assert rig.stands(crowd(8))


async def test_peers_in_large_numbers_are_planned_beside_the_event_loop() -> None:
    many = world(V4, *(lease(number) for number in range(1, 201)))
    big = replace(many, view=view([lease(0), *(lease(number) for number in range(1, 190))]))
    assert len(desired_of(big) or {}) > THREAD_FROM
    rig = Rig()
    rig.show(big)
    await rig.loop.run_pass()
    assert rig.stands(big)
    rig.loop.kernel_moved(Moved.OVERRUN)
    assert (await rig.loop.run_pass()).decision.ops == ()


@pytest.mark.parametrize("expander", EXPANDERS)
async def test_whatever_the_history_the_last_world_stands(expander: str) -> None:
    # the fake is of the kernel alone, without the part that a UDP tunnel is
    between = [WORLDS[name] for name in OPEN if "udp" not in name]
    worlds = [WORLDS["three hosts"], *between, WORLDS["three hosts"]]
    async with running() as rig:
        history = EXPANDERS[expander](worlds)
        for step in history:
            rig.show(replace(step, policy=rig.loop.world.policy))
            await settle()
        await rig.clock.advance(INTERVAL)
        assert rig.stands(history[-1])


# Trust


async def test_an_idle_loop_touches_nothing_until_the_timer() -> None:
    async with running(crowd(5)) as rig:
        before = rig.touches
        await rig.clock.advance(INTERVAL * 0.9 - 2)
        assert rig.touches == before
        await rig.clock.advance(INTERVAL * 0.2 + 2)
        assert rig.touches == (before[0] + 1, before[1], before[2] + 1)
        assert rig.passes[-1].resync == "timer"


async def test_own_writes_cause_no_read_back() -> None:
    async with running(crowd(1)) as rig:
        reads = rig.kernel.reads
        for number in range(2, 9):
            rig.show(crowd(number))
            await rig.clock.advance(0.5)
        assert rig.kernel.reads == reads


@pytest.mark.parametrize("moved", Moved)
async def test_each_foreign_change_leads_to_one_read_back(moved: Moved) -> None:
    async with running(crowd(2)) as rig:
        reads, writes, _ = rig.touches
        rig.loop.kernel_moved(moved)
        await rig.clock.advance(5.0)
        assert rig.kernel.reads == reads + 1
        assert rig.kernel.writes == writes
        assert rig.passes[-1].resync == moved.value


async def test_the_kernel_is_read_before_the_first_decision() -> None:
    kernel = fake_kernel()
    kernel.put_from_outside(Route(lease(9).key.subnet, "eth0", lease(9).record.public_ip))  # type: ignore[arg-type]
    async with running(crowd(2), kernel=kernel) as rig:
        assert rig.passes[0].resync == "start"
        assert rig.stands(crowd(2))


async def test_gate_kernel_not_read_nothing_is_written_while_the_kernel_cannot_be_read() -> None:
    kernel = fake_kernel()
    kernel.break_socket(3)
    async with running(kernel=kernel) as rig:
        rig.show(crowd(2))
        await settle()
        assert rig.kernel.writes == 0
        assert rig.passes[0].error
        await rig.clock.advance(5.0)
        assert rig.stands(crowd(2))


async def test_read_backs_keep_their_distance_under_a_storm_of_changes() -> None:
    async with running(crowd(2)) as rig:
        reads = rig.kernel.reads
        for _ in range(100):
            rig.loop.kernel_moved(Moved.ROUTE)
            await rig.clock.advance(0.01)
        assert 5 <= rig.kernel.reads - reads <= 1.0 / HOLD_OFF + 2


async def test_p13_a_change_after_a_quiet_time_is_healed_at_once() -> None:
    async with running(crowd(2)) as rig:
        await rig.clock.advance(10.0)
        for obj in [obj for obj in rig.kernel.objects.values() if isinstance(obj, Route)]:
            rig.kernel.drop_from_outside(obj)
        rig.loop.kernel_moved(Moved.ROUTE)
        await settle()
        assert rig.stands(crowd(2))


class Restless(FakeKernel):
    """Something moves while it is being read."""

    rig: Rig
    moves = 0

    async def read_back(self, scope: Scope) -> Objects:
        found = await super().read_back(scope)
        if self.moves:
            self.moves -= 1
            neighbour = next(obj for obj in self.objects.values() if isinstance(obj, Neighbour))
            self.drop_from_outside(neighbour)
            self.rig.loop.kernel_moved(Moved.NEIGHBOUR)
        return found


async def test_what_moves_while_it_is_read_is_read_again() -> None:
    kernel = Restless(host_links=HOST_LINKS)
    async with running(crowd(2), kernel=kernel) as rig:
        kernel.rig, kernel.moves = rig, 1
        reads = kernel.reads
        rig.loop.kernel_moved(Moved.LINK)
        await rig.clock.advance(5.0)
        assert kernel.reads == reads + 2
        assert rig.stands(crowd(2))


async def test_a_shorter_interval_counts_from_now() -> None:
    async with running(crowd(1)) as rig:
        reads = rig.kernel.reads
        rig.loop.set_interval(5.0)
        await rig.clock.advance(5.1)
        assert rig.kernel.reads == reads + 1
        await rig.clock.advance(5.6)
        assert rig.kernel.reads == reads + 2


# Failures


async def test_failed_writes_are_retried_with_growing_delays_and_reported_once() -> None:
    async with running(crowd(1)) as rig:
        rig.kernel.fail_next(3 * 6, error=errno.ENOBUFS)
        before = len(rig.passes)
        with capture_logs() as logs:
            rig.show(crowd(2))
            starts: list[float] = []
            for _ in range(1000):
                seen = len(rig.passes)
                await rig.clock.advance(0.05)
                starts += [rig.clock.monotonic()] * (len(rig.passes) - seen)
                if not rig.passes[-1].failures:
                    break
        assert rig.stands(crowd(2))
        assert len(rig.passes) == before + 7
        gaps = [later - earlier for earlier, later in pairwise(starts)]
        assert gaps == sorted(gaps)
        assert gaps[-1] > 8 * gaps[0]
        events = [line["event"] for line in logs if line["log_level"] != "debug"]
        assert events.count("kernel_write_failed") == 1
        assert events.count("kernel_recovered") == 1
        assert events.count("pass_applied") == 1, "a pass that changed nothing is not told"


async def test_one_refused_operation_stops_none_of_the_others() -> None:
    async with running(crowd(1)) as rig:
        rig.kernel.fail_next(1)
        rig.show(crowd(9))
        await settle()
        assert len(rig.passes[-1].failures) == 1
        assert len(rig.kernel.objects) == objects_of(crowd(9)) - 1
        await rig.clock.advance(1.0)
        assert rig.stands(crowd(9))


async def test_an_unusable_socket_is_survived_and_leads_to_a_read_back() -> None:
    async with running(crowd(1)) as rig:
        rig.kernel.break_socket(4)
        with capture_logs() as logs:
            rig.show(crowd(2))
            await rig.clock.advance(5.0)
        assert rig.stands(crowd(2))
        assert [line["event"] for line in logs].count("kernel_read_failed") == 1


async def test_deletions_that_failed_are_tried_again() -> None:
    async with running(crowd(3)) as rig:
        rig.kernel.fail_next(2)
        rig.show(crowd(1))
        await rig.clock.advance(2.0)
        assert rig.stands(crowd(1))


# Waiting


@pytest.mark.parametrize("name", ["no underlay", "no network", "no lease"])
async def test_what_is_missing_is_waited_for_without_a_write(name: str) -> None:
    async with running(crowd(3)) as rig:
        reads, writes, passes = rig.touches
        rig.show(WORLDS[name])
        await rig.clock.advance(3 * INTERVAL)
        assert (rig.kernel.reads, rig.kernel.writes) == (reads, writes)
        assert len(rig.passes) <= passes + 3, "it waits, it does not spin"
        assert rig.passes[-1].decision.desired is None
        assert rig.stands(crowd(3))
        rig.show(crowd(2))
        await settle()
        assert rig.stands(crowd(2))


async def test_p15_nothing_is_deleted_before_the_first_listing() -> None:
    standing = fake_kernel()
    async with running(crowd(5), kernel=standing):
        pass
    async with running(WORLDS["leases not listed"], kernel=standing) as rig:
        await rig.clock.advance(3 * INTERVAL)
        assert rig.passes[-1].decision.gate is Gate.LEASES_NOT_LISTED
        assert rig.stands(crowd(5))
        rig.show(crowd(2))
        await settle()
        assert rig.stands(crowd(2))


async def test_p17_a_restart_over_what_stands_writes_nothing() -> None:
    standing = fake_kernel()
    async with running(crowd(5), kernel=standing):
        writes = standing.writes
    async with running(crowd(5), kernel=standing) as rig:
        await rig.clock.advance(2 * INTERVAL)
        assert standing.writes == writes


# Repairs


async def test_p11_a_deleted_device_comes_back_with_its_mac_and_everything_on_it() -> None:
    async with running(crowd(3)) as rig:
        before = link_of_ours(rig)
        rig.kernel.drop_from_outside(before)  # type: ignore[arg-type]
        rig.loop.kernel_moved(Moved.LINK)
        await settle()
        assert link_of_ours(rig) == before
        assert rig.stands(crowd(3))
        repairs = rig.passes[-1].repairs
        assert repairs["link"] == 1
        assert repairs["route"] == repairs["neighbour"] == repairs["fdb"] == 3


async def test_p14_entries_corrupted_or_added_by_others_are_repaired_and_counted() -> None:
    async with running(crowd(3)) as rig:
        neighbour = next(obj for obj in rig.kernel.objects.values() if isinstance(obj, Neighbour))
        rig.kernel.put_from_outside(replace(neighbour, mac=Mac(bytes(5) + b"\x99")))
        rig.kernel.put_from_outside(replace(neighbour, address=IPv4Address("10.50.99.0")))
        rig.loop.kernel_moved(Moved.NEIGHBOUR)
        await settle()
        assert rig.stands(crowd(3))
        assert rig.passes[-1].repairs == {"neighbour": 2}


async def test_news_is_not_counted_as_repair() -> None:
    async with running(crowd(3)) as rig:
        rig.loop.kernel_moved(Moved.LINK)
        rig.show(crowd(5))
        await settle()
        rig.loop.kernel_moved(Moved.LINK)
        rig.show(crowd(1))
        await rig.clock.advance(1.0)
        assert rig.stands(crowd(1))
        assert all(not outcome.repairs for outcome in rig.passes)


async def test_p27_a_changed_underlay_address_is_followed_in_place() -> None:
    async with running(crowd(3)) as rig:
        rig.show(replace(crowd(3), facts=WORLDS["underlay address changed"].facts, own=rig.loop.world.own))
        await settle()
        assert [render(op) for op in rig.passes[-1].decision.ops] == [
            "ip link set flannel.1 type vxlan id 1 dev eth0 local 192.0.2.77 nolearning"
        ]


# The brake


def half_gone(listings: int) -> World:
    return replace(
        crowd(0), view=view([lease(0), *(lease(number) for number in range(1, 11))], listings=listings)
    )


async def test_p16_a_held_deletion_asks_for_a_second_listing_until_it_is_released() -> None:
    async with running(crowd(30)) as rig:
        with capture_logs() as logs:
            rig.show(half_gone(1))
            await rig.clock.advance(RELIST_DELAY - 0.1)
            assert rig.listings == []
            await rig.clock.advance(0.2)
            assert rig.listings == ["brake"]
            await rig.clock.advance(2 * RELIST_DELAY)
            assert rig.listings == ["brake"] * 3
            assert rig.stands(crowd(30)) or len(rig.kernel.objects) == objects_of(crowd(30))
            rig.show(half_gone(2))
            await settle()
            assert rig.stands(half_gone(2))
            await rig.clock.advance(3 * RELIST_DELAY)
        assert rig.listings == ["brake"] * 3
        events = [line["event"] for line in logs]
        assert events.count("mass_delete_held") == events.count("mass_delete_released") == 1


async def test_p16_peers_that_come_back_end_the_hold() -> None:
    async with running(crowd(30)) as rig:
        writes = rig.kernel.writes
        rig.show(half_gone(1))
        await settle()
        rig.show(crowd(30))
        await rig.clock.advance(3 * RELIST_DELAY)
        assert rig.listings == []
        assert rig.kernel.writes == writes


# Looking on


async def test_a_preview_shows_the_next_pass_and_changes_nothing() -> None:
    async with running(crowd(3)) as rig:
        rig.kernel.drop_from_outside(link_of_ours(rig))  # type: ignore[arg-type]
        before, objects = rig.touches, dict(rig.kernel.objects)
        decision = await rig.loop.preview()
        assert render(decision.ops[0]).startswith("ip link add flannel.1")
        assert rig.kernel.objects == objects
        assert rig.touches == (before[0] + 1, *before[1:])
        rig.loop.kernel_moved(Moved.LINK)
        await settle()
        assert rig.passes[-1].decision.ops == decision.ops


async def test_a_preview_takes_no_news_from_the_next_pass() -> None:
    async with running(crowd(3)) as rig:
        rig.show(crowd(5))
        await rig.loop.preview()
        await settle()
        assert rig.stands(crowd(5))


async def test_every_pass_is_published_with_what_it_did() -> None:
    async with running(crowd(1)) as rig:
        rig.show(world(V4, lease(2)))
        await settle()
        outcome = rig.passes[-1]
        assert outcome.number == len(rig.passes)
        assert outcome.world is not rig.passes[0].world
        assert {type(op) for op in outcome.decision.ops} >= {Delete}
        assert outcome.failures == ()
        assert outcome.resync == ""


async def test_facts_that_come_back_the_same_change_nothing() -> None:
    async with running(crowd(2)) as rig:
        writes = rig.kernel.writes
        rig.loop.facts_changed(HostFacts())
        await settle()
        rig.loop.facts_changed(FACTS)
        await settle()
        assert rig.kernel.writes == writes
        assert rig.stands(crowd(2))
