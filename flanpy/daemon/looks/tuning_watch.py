"""Looks now and then at how this host is tuned, and publishes what it found; changes nothing.

What can be set for the overlay is set by the reconcile loop; this is for what only the operator may change, and for
what somebody set in spite of the loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Never

from flanpy.backend import choice
from flanpy.clock import Clock
from flanpy.errors import KernelError
from flanpy.kernel.request import RequestSocket, SocketFactory, open_netlink
from flanpy.kernel.sysctl import ProcSysctls, Sysctls
from flanpy.kernel.tuning import NETSTAT, read_bridge_filter, read_neighbour_tables, read_reverse_path
from flanpy.model.address import Family
from flanpy.model.tuning import HostTuning, NeighbourTable
from flanpy.model.world import World
from flanpy.plan.neighbour_need import neighbour_need
from flanpy.reconcile.outcome import Pass

INTERVAL_S = 10.0
"""Between two looks: ten small reads."""

LIVELY_INTERVAL_S = 2.0
"""The same while a link of ours is strict: the loop is about to loosen it, or cannot."""

LATELY_S = 30.0
"""For so long a drop counts as recent: probes come in rounds, and a drop in one round is not undone before the next."""


@dataclass(slots=True)
class GrowthWindow:
    """Growth of counters over the last while."""

    seen: deque[tuple[float, tuple[int, ...]]] = field(default_factory=deque)

    def growth(self, counts: tuple[int, ...], now: float) -> tuple[int, ...]:
        """By how much each grew since `LATELY_S` ago, or since the first look."""
        if self.seen and len(self.seen[-1][1]) != len(counts):
            self.seen.clear()
        self.seen.append((now, counts))
        while len(self.seen) > 1 and self.seen[1][0] <= now - LATELY_S:
            self.seen.popleft()
        return tuple(max(0, new - old) for new, old in zip(counts, self.seen[0][1], strict=True))


class TuningWatch:
    """`last` gives the last pass, `note` takes each look that differs from the one before."""

    def __init__(
        self,
        *,
        clock: Clock,
        last: Callable[[], Pass | None],
        note: Callable[[HostTuning], None],
        sysctls: Sysctls | None = None,
        open_socket: SocketFactory = open_netlink,
    ) -> None:
        self._clock = clock
        self._last = last
        self._note = note
        self._sysctls = sysctls or ProcSysctls()
        self._open_socket = open_socket
        self._window = GrowthWindow()
        self._needed: tuple[World | None, Mapping[Family, int]] = (None, {})

    async def run(self) -> Never:
        """Look until cancelled."""
        requests = RequestSocket(self._open_socket())
        said: HostTuning | None = None
        try:
            while True:
                last = self._last()
                lively = False
                if last is not None and last.decision.desired is not None:
                    tuning = await self.look(last, requests)
                    lively = not choice.links(last.world).isdisjoint(tuning.reverse_path.strict)
                    if tuning != said:
                        self._note(tuning)
                        said = tuning
                await self._clock.sleep(LIVELY_INTERVAL_S if lively or said is None else INTERVAL_S)
        finally:
            requests.close()

    async def look(self, last: Pass, requests: RequestSocket) -> HostTuning:
        """One look at the links that packets of peers come in by, and at the neighbour tables."""
        path = read_reverse_path(self._sysctls, sorted(_ways_in(last.world)), NETSTAT)
        tables = await _tables(requests)
        counts = (path.drops, *(table.refused for table in tables))
        drops, *refusals = self._window.growth(counts, self._clock.monotonic())
        return HostTuning(
            replace(path, drops_lately=drops),
            tuple(self._of_table(last, table, grown) for table, grown in zip(tables, refusals, strict=True)),
            read_bridge_filter(self._sysctls),
        )

    def _of_table(self, last: Pass, table: NeighbourTable, grown: int) -> NeighbourTable:
        return replace(table, needed=self._need(last).get(table.family, 0), refused_lately=grown)

    def _need(self, last: Pass) -> Mapping[Family, int]:
        """Return the neighbours needed, recomputed only if the world changed: a thousand peers take a millisecond."""
        if self._needed[0] is not last.world:
            self._needed = (last.world, neighbour_need(last.world, last.admission.peers))
        return self._needed[1]


def _ways_in(world: World) -> set[str]:
    """Links that packets of peers may come in by: ours, the underlay, and others that lead to a gateway."""
    facts = world.facts
    links = {route.link for route in facts.routes if route.gateway is not None}
    return links | choice.links(world) | ({facts.underlay.link} if facts.underlay is not None else set())


async def _tables(requests: RequestSocket) -> Sequence[NeighbourTable]:
    """Nothing from a kernel that does not tell: then nothing is said of its tables."""
    try:
        return await read_neighbour_tables(requests)
    except KernelError:
        return ()
