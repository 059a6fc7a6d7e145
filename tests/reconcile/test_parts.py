"""The loop's small parts: backoff, tracking, waiting."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address
from random import Random

import pytest

from flanpy.clock import set_within
from flanpy.errors import KernelError
from flanpy.kernel.port import OpFailure
from flanpy.model.address import Mac
from flanpy.model.objects import LinkUp, Neighbour, VxlanLink
from flanpy.model.ops import Delete, Op, Put
from flanpy.plan.diff import objects_by_key
from flanpy.plan.ownership import Observed
from flanpy.reconcile.backoff import Backoff
from flanpy.reconcile.tracking import track
from tests.fakes.clock import FakeClock, settle

MAC = Mac(bytes([2, 0, 0, 0, 0, 1]))
LINK = VxlanLink("flannel.1", 1, 8472, "eth0", IPv4Address("192.0.2.1"), MAC, 1450)
NEIGHBOUR = Neighbour("flannel.1", IPv4Address("10.50.2.0"), MAC)


def test_backoff_doubles_up_to_its_limit_with_a_quarter_of_jitter() -> None:
    backoff = Backoff(first=0.1, limit=30.0, rng=Random(7))
    delays = [backoff.next_delay() for _ in range(12)]
    for number, delay in enumerate(delays):
        full = min(30.0, 0.1 * 2**number)
        assert 0.75 * full <= delay <= full
    backoff.reset()
    assert backoff.next_delay() <= 0.1


def test_backoff_stays_finite_after_any_number_of_failures() -> None:
    assert Backoff(failures=10_000).next_delay() <= 30.0


def test_tracking_notes_what_succeeded_and_forgets_what_failed() -> None:
    observed = Observed(objects_by_key([NEIGHBOUR]))
    ops: list[Op] = [Put(LINK), Put(LinkUp("flannel.1")), Delete(NEIGHBOUR)]
    track(observed, ops, [OpFailure(ops[1], KernelError("no")), OpFailure(ops[2], KernelError("no"))])
    assert observed.owned == objects_by_key([LINK])


def test_tracking_drops_what_a_deleted_link_takes_along() -> None:
    observed = Observed(objects_by_key([LINK, LinkUp("flannel.1"), NEIGHBOUR]))
    track(observed, [Delete(LINK), Put(LINK)], ())
    assert observed.owned == objects_by_key([LINK])


@pytest.mark.asyncio
async def test_waiting_ends_with_the_event_or_the_time() -> None:
    clock, event = FakeClock(), asyncio.Event()
    waiting = asyncio.create_task(set_within(event, clock, 5.0))
    await settle()
    event.set()
    assert await waiting
    event.clear()
    waiting = asyncio.create_task(set_within(event, clock, 5.0))
    await clock.advance(5.0)
    assert not await waiting
    assert clock.sleepers == 0


@pytest.mark.asyncio
async def test_waiting_that_is_over_before_it_begins_lets_others_run() -> None:
    turn = asyncio.Event()
    asyncio.get_running_loop().call_soon(turn.set)
    assert not await set_within(asyncio.Event(), FakeClock(), 0.0)
    assert turn.is_set()
