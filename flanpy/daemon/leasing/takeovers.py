"""Watches for leases that lead to another host while the host of before still answers: the alarm at the peers.

The host itself sees that its key is another's (`LeaseConflict`); where it cannot speak, or nobody listens to it, its
peers can. In: steps of the view. Out: one line for each, for as long as it holds, but no longer than `ALARM`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from flanpy.clock import Clock, set_within
from flanpy.errors import UnableToAsk
from flanpy.log import get_logger
from flanpy.model.address import IPAddress
from flanpy.model.lease import Lease, LeaseView
from flanpy.plan.moving import Step
from flanpy.plan.takeover import Takeover, takeovers

log = get_logger()

ALARM = 600.0
"""Seconds that an alarm is shown: a host with two addresses may well have changed from one to the other."""

AGAIN = 10.0
"""Seconds between two looks at the hosts of before."""

MOST = 64
"""Alarms at once. What comes beyond is of the same kind."""

MOST_GONE = 1024
"""Deleted leases remembered, to compare a key that is created again with."""


class Takeovers:
    """`alive` asks whether a host answers at an address; `note` takes the lines to show."""

    def __init__(
        self,
        node_id: str,
        *,
        clock: Clock,
        alive: Callable[[IPAddress], Awaitable[bool]],
        note: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._node_id = node_id
        self._clock = clock
        self._alive = alive
        self._note = note
        self._gone: dict[str, Lease] = {}
        self._until: dict[Takeover, float] = {}
        self._seen: set[Takeover] = set()
        self._told: tuple[str, ...] = ()
        self._news = asyncio.Event()
        self._view = LeaseView()

    def view_changed(self, step: Step) -> None:
        """Note what changed hands; a first listing says nothing of before."""
        self._view = step.now
        if not step.before.in_sync:
            return
        for key in step.now.deletions.keys() - step.before.deletions.keys():
            if key in step.before.leases:
                self._gone[key] = step.before.leases[key]
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        for found in takeovers(step, self._gone, self._node_id):
            if len(self._until) < MOST:
                self._until.setdefault(found, self._clock.monotonic() + ALARM)
                self._news.set()

    async def run(self) -> None:
        """Look at the hosts of before, without end."""
        while True:
            await set_within(self._news, self._clock, AGAIN if self._until else float("inf"))
            self._news.clear()
            now, asked = self._clock.monotonic(), list(self._until.items())
            verdicts = await asyncio.gather(*(self._holds(one, until > now) for one, until in asked))
            for (one, _), holds in zip(asked, verdicts, strict=True):
                if holds:
                    self._seen.add(one)
                elif holds is not None:
                    del self._until[one]
                    self._seen.discard(one)
            self._tell()

    async def _holds(self, one: Takeover, in_time: bool) -> bool | None:
        """Report whether the host of before still answers, None if this host has no means to ask: it is asked again."""
        standing = self._view.leases.get(str(one.now.key))
        if not in_time or standing is None or standing.record != one.now.record:
            return False
        addresses = (one.was.record.public_ip, one.was.record.public_ip6)
        try:
            return any([await self._alive(address) for address in addresses if address is not None])
        except UnableToAsk:
            return None

    def _tell(self) -> None:
        told = tuple(sorted(one.message for one in self._seen))
        if told != self._told:
            for line in set(told) - set(self._told):
                log.warning("peer_changed_hands", error=line)
            self._told = told
            self._note(told)
