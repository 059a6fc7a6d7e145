"""The newest routes are taken back where etcd falls silent by them, and given back where it did not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio

from flanpy.daemon.leasing.suspects import BETWEEN, RETRIAL, TRIAL, Suspects
from flanpy.errors import UnableToAsk
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.world import Claim
from flanpy.plan.recent import RECENT
from tests.fakes.clock import FakeClock
from tests.states import lease

pytestmark = pytest.mark.asyncio

PEERS = tuple(lease(number) for number in range(1, 5))


class Etcd:
    """An etcd that `guilty` leases cut off while they have routes, and that is away while `away`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.guilty: frozenset[Lease] = frozenset()
        self.away = 0
        self.withheld: frozenset[Claim] = frozenset()
        self.freed = 0
        self.remembered: list[set[str]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.unable = False
        self.heard = 0.0
        self.longest = 0.0
        self._since = 0.0
        self.suspects = Suspects(
            clock=self.clock, heard=lambda: self.heard or self.clock.monotonic(), answers=self.answers,
            freed=self._freed, withhold=self._withhold, remember=self._kept,
        )  # fmt: skip

    async def begin(self, *, recalled: tuple[Lease, ...] = ()) -> None:
        """Start again, with what the disk has."""
        await self.end()
        self.suspects.recall(frozenset((one.key, one.record) for one in recalled))
        self._tasks = [asyncio.create_task(one) for one in (self.suspects.run(), self.suspects.remember())]
        await asyncio.sleep(0)

    async def end(self) -> None:
        """End the daemon."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def answers(self) -> bool:
        """Answer a TCP probe; `away` counts down with each."""
        if self.unable:
            raise UnableToAsk("no descriptors")
        if self.away:
            self.away -= 1
            return False
        return all((one.key, one.record) in self.withheld for one in self.guilty)

    def _kept(self, claims: frozenset[Claim]) -> None:
        self.remembered.append({str(key) for key, _ in claims})

    def _freed(self) -> None:
        self.freed += 1

    def _withhold(self, claims: frozenset[Claim]) -> None:
        if self.withheld and not claims:
            self.longest = max(self.longest, self.clock.monotonic() - self._since)
        elif claims and not self.withheld:
            self._since = self.clock.monotonic()
        self.withheld = claims
        asyncio.get_running_loop().call_soon(self.passed)

    def passed(self, *, added: tuple[Any, ...] = ()) -> None:
        outcome: Any = SimpleNamespace(
            admission=SimpleNamespace(peers=PEERS), added=added, world=SimpleNamespace(withheld=self.withheld)
        )
        self.suspects.pass_done(outcome)

    async def falls_silent(self) -> None:
        """Install all routes, lose the watch, and let the trials take their time."""
        self.passed(added=tuple(one.key.subnet for one in PEERS))
        view = LeaseView(leases={str(one.key): one for one in PEERS}, stale=False)
        self.suspects.view_changed(view, replace(view, stale=True))
        await self.trials()

    async def trials(self) -> None:
        """Let half a minute go by, in steps shorter than what waits for one another."""
        for _ in range(300):
            await self.clock.advance(0.1)

    def kept_out(self) -> set[str]:
        return {str(key) for key, _ in self.withheld}


@pytest_asyncio.fixture
async def etcd() -> AsyncIterator[Etcd]:
    made = Etcd()
    await made.begin()
    yield made
    await made.end()


@pytest.mark.parametrize("guilty", [(), (0,), (3,), (0, 2), (0, 1, 2, 3)])
async def test_just_the_leases_by_which_etcd_is_lost_stay_out(etcd: Etcd, guilty: tuple[int, ...]) -> None:
    etcd.guilty = frozenset(PEERS[each] for each in guilty)
    await etcd.falls_silent()
    assert etcd.kept_out() == {str(one.key) for one in etcd.guilty}
    assert etcd.freed == bool(guilty)


@pytest.mark.parametrize("away", range(1, 12))
async def test_leases_are_not_blamed_for_an_etcd_that_was_away_meanwhile(etcd: Etcd, away: int) -> None:
    etcd.away = away
    await etcd.falls_silent()
    assert etcd.kept_out() == set()


async def test_peers_pay_little_for_an_etcd_that_is_gone(etcd: Etcd) -> None:
    etcd.away = 1000
    await etcd.falls_silent()
    assert etcd.kept_out() == set()
    assert 0 < etcd.longest <= TRIAL + 2 * BETWEEN


async def test_slow_answer_is_waited_for_while_others_are_asked_for(etcd: Etcd) -> None:
    """Each probe may take its time: a packet may be lost, and the next one's is not."""
    answers, probes = etcd.answers, 0

    async def slow() -> bool:
        nonlocal probes
        probes += 1
        if probes % 2 == 0:
            await etcd.clock.sleep(2 * TRIAL)
        return await answers()

    etcd.suspects._answers = slow
    etcd.guilty = frozenset(PEERS[:1])
    await etcd.falls_silent()
    await etcd.trials()
    assert etcd.kept_out() == {str(PEERS[0].key)}


async def test_no_peer_pays_for_a_host_that_has_no_means_to_ask(etcd: Etcd) -> None:
    etcd.unable = True
    await etcd.falls_silent()
    assert (etcd.kept_out(), etcd.longest) == (set(), 0.0)


@pytest.mark.parametrize("guilty", [(), (1,), (0, 3)])
async def test_restart_clears_no_lease_whose_route_was_new(etcd: Etcd, guilty: tuple[int, ...]) -> None:
    etcd.guilty = frozenset(PEERS[each] for each in guilty)
    await etcd.begin(recalled=PEERS)
    await etcd.trials()
    assert etcd.kept_out() == {str(one.key) for one in etcd.guilty}
    assert etcd.freed == bool(guilty)


async def test_restart_while_etcd_is_away_costs_new_peers_a_trial(etcd: Etcd) -> None:
    etcd.away = 1000
    await etcd.begin(recalled=PEERS)
    await etcd.trials()
    assert etcd.kept_out() == set()
    assert 0 < etcd.longest <= TRIAL + 2 * BETWEEN


async def test_newest_leases_are_kept_until_etcd_was_heard_long_enough_beside_them(etcd: Etcd) -> None:
    everybody = {str(one.key) for one in PEERS}
    await etcd.clock.advance(1.0)
    etcd.heard = etcd.clock.monotonic()
    etcd.passed(added=tuple(one.key.subnet for one in PEERS))
    await etcd.clock.advance(1.0)
    assert etcd.remembered == [everybody]
    for _ in range(5):
        await etcd.clock.advance(RECENT)
    assert etcd.remembered == [everybody], "it is not heard"
    etcd.heard = 0.0
    await etcd.clock.advance(RECENT + 0.1)
    assert etcd.remembered == [everybody, set()]


async def test_lease_that_was_blamed_for_no_reason_is_tried_again(etcd: Etcd) -> None:
    etcd.guilty = frozenset(PEERS[:1])
    await etcd.falls_silent()
    assert etcd.kept_out() == {str(PEERS[0].key)}
    await etcd.clock.advance(RETRIAL)
    await etcd.trials()
    assert etcd.kept_out() == {str(PEERS[0].key)}
    etcd.guilty = frozenset()
    await etcd.clock.advance(RETRIAL)
    await etcd.trials()
    assert etcd.kept_out() == set()
