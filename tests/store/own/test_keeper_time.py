"""The keeper over hours: renewal, outages, news in bursts; on a clock that the test moves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from flanpy.store.own.alarm import Alarm
from flanpy.store.own.own_lease import LeaseSource, LeaseTerms
from flanpy.store.schema import encode_record, subnets_prefix
from tests.fakes.clock import FakeClock, settle
from tests.fakes.etcd import FakeEtcd, FakeSession
from tests.store.own.lease_hosts import Host, network, record

pytestmark = pytest.mark.asyncio
HOUR = 3600.0


@asynccontextmanager
async def a_host(terms: LeaseTerms | None = None) -> AsyncIterator[tuple[FakeClock, FakeSession, Host]]:
    """A living host with its first lease, on a fake etcd with the same clock."""
    clock = FakeClock()
    session = FakeSession(FakeEtcd(clock))
    host = Host(1, session, "/net", network(), clock=clock, terms=terms or LeaseTerms())
    task = asyncio.create_task(host.live())
    try:
        await clock.advance(1)
        assert host.lease is not None
        yield clock, session, host
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_keeper_renews_three_times_within_a_ttl_and_asks_nothing_else_all_day() -> None:
    async with a_host() as (clock, _, host):
        host.line.calls.clear()
        await clock.advance(24 * HOUR)
        assert host.line.calls == ["keep_alive"] * 3
        assert host.keeper.state.expires_at is not None
        assert host.keeper.state.expires_at > clock.monotonic() + 15 * HOUR


@pytest.mark.parametrize(
    ("terms", "remaining", "after"),
    [
        (LeaseTerms(), 86400, 28800),
        (LeaseTerms(margin=20 * HOUR), 86400, 4 * HOUR),
        (LeaseTerms(margin=23.9 * HOUR), 86400, 86400 / 20),
        (LeaseTerms(margin=10 * HOUR), 21 * HOUR, 7 * HOUR),
        (LeaseTerms(ttl=60), 60, 20),
    ],
)
async def test_renewal_is_due_after_a_third_or_before_the_margin(
    terms: LeaseTerms, remaining: float, after: float
) -> None:
    assert terms.renew_after(remaining) == after


async def test_p24_keeper_keeps_the_lease_and_logs_two_lines_over_an_outage_of_hours() -> None:
    async with a_host() as (clock, session, host):
        lease = host.lease
        with capture_logs() as lines:
            session.cut()
            await clock.advance(20 * HOUR)
            assert host.lease == lease
            assert host.keeper.state.last_error
            asked = len(host.line.calls)
            await clock.advance(600)
            assert len(host.line.calls) - asked <= 30
            session.mend()
            await clock.advance(120)
        assert host.keeper.state.last_error == ""
        assert host.lease == lease
        ours = [line["event"] for line in lines if line["event"].startswith("lease_")]
        assert ours == ["lease_store_failed", "lease_store_recovered"]


async def test_p25_same_subnet_is_taken_again_when_the_lease_ran_out_during_an_outage() -> None:
    async with a_host() as (clock, session, host):
        first = host.lease
        session.cut()
        await clock.advance(30 * HOUR)
        assert host.keeper.state.lease == first  # the data plane stays
        session.mend()
        await clock.advance(120)
        assert first is not None
        assert host.lease is not None
        assert host.lease.key == first.key
        assert host.lease.lease_id != first.lease_id
        assert all(state.lease is not None for state in host.states)


async def test_p26_keeper_does_not_fight_when_its_lease_ran_out_and_another_node_took_the_subnet() -> None:
    async with a_host() as (clock, session, host):
        first = host.lease
        assert first is not None
        session.cut()
        await clock.advance(30 * HOUR)
        other = FakeSession(session.etcd)
        path = f"{subnets_prefix('/net')}{first.key}"
        await other.put(path, encode_record(record(2, "node-2")), await other.grant(86400))
        session.mend()
        await clock.advance(300)
        found = await other.get(path)
        assert found is not None
        assert found.value == encode_record(record(2, "node-2"))
        assert "node-2" in host.keeper.state.conflict
        assert host.lease == first


async def test_keeper_with_a_lease_looks_once_a_second_however_many_others_change() -> None:
    async with a_host() as (clock, session, host):
        other = FakeSession(session.etcd)
        host.line.calls.clear()
        for number in range(2, 200):
            await other.put(
                f"{subnets_prefix('/net')}10.50.{number}.0-25", encode_record(record(number, f"n{number}"))
            )
            await settle(5)
        await clock.advance(2)
        assert host.line.calls == []
        assert len(host.view.leases) >= 198


async def test_p15_disk_lease_is_published_at_once_when_containers_stand_on_it_and_etcd_is_away() -> None:
    clock = FakeClock()
    session = FakeSession(FakeEtcd(clock))
    before = Host(1, session, "/net", network(), clock=clock)
    await before.steps()
    session.cut()
    after = Host(1, session, "/net", network(), clock=clock, disk=before.disk)
    assert [(state.source, state.lease) for state in after.states] == [(LeaseSource.DISK, before.lease)]
    task = asyncio.create_task(after.live())
    await clock.advance(60)
    assert after.lease == before.lease
    assert {state.source for state in after.states} == {LeaseSource.DISK}
    session.mend()
    await clock.advance(60)
    assert after.states[-1].source is LeaseSource.ETCD
    assert after.lease == before.lease
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_etcd_leases_that_hang_loose_are_revoked() -> None:
    async with a_host() as (clock, session, host):
        for _ in range(3):
            session.lose_answer("txn")
            lease = host.lease
            assert lease is not None
            session.etcd.expire_lease(lease.lease_id)
            await clock.advance(120)
        await clock.advance(24 * HOUR)
        assert host.lease is not None
        assert list(session.etcd.leases) == [host.lease.lease_id]


async def test_alarm_takes_a_burst_as_one_awakening_and_urgent_news_at_once() -> None:
    clock = FakeClock()
    alarm = Alarm(clock)
    woken: list[float] = []

    async def sleeper() -> None:
        while True:
            await alarm.rest(math.inf, quiet=1.0)
            woken.append(clock.monotonic())

    task = asyncio.create_task(sleeper())
    start = clock.monotonic()
    await settle()
    for _ in range(50):
        alarm.ring(urgent=False)
        await settle(3)
    assert woken == []
    await clock.advance(1)
    assert woken == [start + 1]
    await clock.advance(9)
    assert woken == [start + 1]
    alarm.ring(urgent=True)
    await settle()
    assert woken == [start + 1, start + 10]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_alarm_ends_by_time_when_nothing_rings() -> None:
    clock = FakeClock()
    resting = asyncio.create_task(Alarm(clock).rest(5, quiet=1.0))
    await clock.advance(4.9)
    assert not resting.done()
    await clock.advance(0.2)
    assert resting.done()
