"""Takes the newest routes back where etcd is lost right after they were installed.

`plan.border` keeps routes off the ways to etcd that this host's tables show; a way that they do not show (translated
addresses, a tunnel's far end) can lie in a peer's subnet all the same, and no fix in etcd would ever be heard. So when
etcd falls silent and no endpoint answers a TCP probe, the newest peers lose their routes for a trial. If etcd answers
then, they get them back, all and then by halves, and those by which it is lost again stay without a route: until their
lease changes, or etcd answers in spite of them at a later trial. For etcd may have been away for reasons of its own.
The newest are kept on disk until etcd was heard long enough beside them, for a restart must not clear them: etcd then
says nothing at all. In: passes, and the view. Out: the withheld leases, to the loop, and the newest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

from flanpy.clock import Clock, set_within
from flanpy.errors import UnableToAsk
from flanpy.log import get_logger
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.world import NO_CLAIMS, Claim
from flanpy.plan.recent import RECENT, Recent
from flanpy.reconcile.outcome import Pass

log = get_logger()

TRIAL = 1.5
"""Seconds that etcd has to answer without the newest routes, to one of several TCP probes: time for a lost packet, and
for a neighbour to be found. Peers that are no suspects but new have no route for so long whenever etcd is away."""

BETWEEN = 0.25
"""Seconds between two TCP probes in that time."""

RETRIAL = 300.0
"""Seconds after which withheld leases are tried again. A guilty one costs the time of a TCP probe without etcd."""

APPLIED = 5.0
"""Seconds that a pass has to remove routes, or to put them back."""


class Suspects:
    """`heard` is when etcd last gave a sign of life, `answers` asks for one now or raises UnableToAsk, `freed` is
    called once it did so only without the suspects; `withhold` takes all leases that get no route, and `remember`
    those that would be doubted after a restart.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        heard: Callable[[], float | None],
        answers: Callable[[], Awaitable[bool]],
        freed: Callable[[], None],
        withhold: Callable[[frozenset[Claim]], None],
        remember: Callable[[frozenset[Claim]], None],
    ) -> None:
        self._clock = clock
        self._heard = heard
        self._answers = answers
        self._freed = freed
        self._withhold = withhold
        self._remember = remember
        self._recalled = self._remembered = NO_CLAIMS
        self._installed = asyncio.Event()
        self._recent = Recent()
        self._peers: tuple[Lease, ...] = ()
        self._lost = asyncio.Event()
        self._applied = asyncio.Event()

    def pass_done(self, outcome: Pass) -> None:
        """Note the routes that a pass installed."""
        self._peers = outcome.admission.peers
        if outcome.added:
            self._recent = self._recent.with_new(outcome.added, self._clock.monotonic())
            self._installed.set()
        if outcome.world.withheld == self._recent.withheld:
            self._applied.set()

    def view_changed(self, before: LeaseView, view: LeaseView) -> None:
        """Note that etcd was lost, and what became of the withheld leases."""
        if view.stale and not before.stale:
            self._lost.set()
        self._use(self._recent.after(view))

    def recall(self, newest: frozenset[Claim]) -> None:
        """Before `run`: the leases whose routes were new when the daemon ended."""
        self._recalled = self._remembered = newest

    async def run(self) -> None:
        """Try without the newest routes whenever etcd is lost, without end."""
        if self._recalled and not await self._said(unable=True):
            await self._try_without(self._recalled)
        while True:
            if not await set_within(self._lost, self._clock, RETRIAL if self._recent.withheld else inf):
                await self._try_again()
                continue
            self._lost.clear()
            heard = self._heard()
            doubted = self._recent.doubted(self._peers, heard) if heard is not None else frozenset()
            if doubted and not await self._said(unable=True):
                await self._try_without(doubted)

    async def remember(self) -> None:
        """Have the newest leases kept, until etcd was heard for long enough after their routes came, without end."""
        while True:
            await set_within(self._installed, self._clock, RECENT if self._remembered else inf)
            self._installed.clear()
            heard = self._heard()
            newest = self._recent.doubted(self._peers, heard) if heard is not None else self._remembered
            if newest != self._remembered:
                self._remembered = newest
                self._remember(newest)

    async def _try_without(self, doubted: frozenset[Claim]) -> None:
        log.warning(
            "newest_leases_withheld", count=len(doubted), reason="etcd fell silent after their routes"
        )
        await self._put(self._recent.withholding(doubted))
        if await self._answered() and await self._guilty_found(doubted):
            if kept := len(self._recent.withheld):
                log.warning("leases_kept_out", count=kept, reason="etcd answers without their routes")
            self._tell_restored(len(doubted) - kept)
            self._freed()
        else:
            log.info("newest_leases_restored", count=len(doubted), reason="etcd is as silent without them")
            await self._put(self._recent.releasing(doubted))
        self._recent = self._recent.settled()

    async def _try_again(self) -> None:
        """Give withheld leases their routes back if etcd answers with them, too."""
        withheld = self._recent.withheld
        if await self._said(unable=False) and await self._guilty_found(withheld):
            self._tell_restored(len(withheld) - len(self._recent.withheld))
        self._lost.clear()

    @staticmethod
    def _tell_restored(count: int) -> None:
        if count:
            log.info("newest_leases_restored", count=count, reason="etcd answers with their routes")

    async def _guilty_found(self, doubted: frozenset[Claim]) -> bool:
        """Give back, all and then by halves, the routes with which etcd answers; report whether it answers without the
        rest."""
        groups = [doubted]
        while groups:
            group = groups.pop()
            await self._put(self._recent.releasing(group))
            if await self._said(unable=True):
                continue
            await self._put(self._recent.withholding(group))
            if not await self._answered():
                return False
            groups += _halves(group)
        return True

    async def _answered(self) -> bool:
        """Report whether etcd answers one of several TCP probes, each made before the one before it is given up."""
        async with asyncio.TaskGroup() as group:
            answered = asyncio.Event()

            async def ask() -> None:
                if await self._said(unable=False):
                    answered.set()

            probes = []
            until = self._clock.monotonic() + TRIAL
            while not answered.is_set() and self._clock.monotonic() < until:
                probes.append(group.create_task(ask()))
                await set_within(answered, self._clock, BETWEEN)
            for one in probes:
                one.cancel()
        return answered.is_set()

    async def _said(self, *, unable: bool) -> bool:
        """Report whether etcd answers now, `unable` where this host has no means to ask: no peer pays for that."""
        try:
            return await self._answers()
        except UnableToAsk:
            return unable

    async def _put(self, recent: Recent) -> None:
        """Use this, and wait until a pass has carried it out."""
        self._use(recent)
        await set_within(self._applied, self._clock, APPLIED)

    def _use(self, recent: Recent) -> None:
        changed = recent.withheld != self._recent.withheld
        self._recent = recent
        if changed:
            self._applied.clear()
            self._withhold(recent.withheld)


def _halves(claims: frozenset[Claim]) -> list[frozenset[Claim]]:
    """Split claims in two; a single one has just been tried."""
    if len(claims) == 1:
        return []
    ordered = sorted(claims, key=lambda claim: str(claim[0]))
    middle = len(ordered) // 2
    return [frozenset(ordered[:middle]), frozenset(ordered[middle:])]
