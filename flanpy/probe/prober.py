"""The prober: probes peers in rounds, suspects between them, and reports the results.

A round takes one interval and probes each of its targets twice, mostly over the overlay: a dead underlay takes the
overlay with it, and half an interval later this is noticed. A silent target is probed again at once, over both paths
(`retries`). Requests go out in small batches. A round probes at most `turns.ALL_UP_TO` targets, some with packets of
full size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from random import Random
from types import MappingProxyType
from typing import Final, Never

from flanpy.clock import Clock, set_within
from flanpy.errors import UnableToAsk
from flanpy.log import get_logger
from flanpy.model.reach import Layer, Reach, ReachReport
from flanpy.outage import Transition
from flanpy.probe.asking import BOTH, Ask
from flanpy.probe.checking import Checking, Own
from flanpy.probe.icmp import EchoSocket
from flanpy.probe.line import Line, OpenSocket
from flanpy.probe.report import LocalFaultsOf, Shown
from flanpy.probe.retries import AT_ONCE, EVERY_S, is_retried, is_undecided, retried
from flanpy.probe.roster import Roster
from flanpy.probe.target import Target
from flanpy.probe.tcp_probe import TcpProbe
from flanpy.probe.track import PATIENCE, Track
from flanpy.probe.turns import Turns

log = get_logger()

BATCH: Final = 4
"""Targets that are sent to at once."""

SPREAD: Final = 0.4
"""Share of half an interval over which its probes are spread."""

EARLY_LATE: Final = (0.9, 1.1)
"""Half a round takes so much of its time, by chance: hosts that began together ask at different times after a while,
and whichever asks first finds a cut."""

AT_REQUEST_S: Final = 0.05
"""Seconds between two batches while a caller waits for the round."""

AGAIN: Final = 2
"""Probes over the overlay to a suspect at a time: any packet may be lost."""

MOST_S: Final = 2.0
"""The longest that an answer is waited for, where round trips are long."""

BENEATH_EVERY: Final = 4
"""Of so many askings of a peer in the rounds one is over the underlay."""

MTU_EVERY: Final = 9
"""Askings over the overlay between two packets of full size to the same peer."""

SEARCHES: Final = 8
"""Targets whose largest packet is searched for in one round."""

TCP_PROBES: Final = 4
"""TCP connections tried in one batch over each path, to hosts that leave ICMP unanswered."""


class Prober:
    """The rounds of probes. `targets` returns the targets, `local_faults_of` the faults of this host; `publish` takes
    each report."""

    def __init__(  # noqa: PLR0913, each is one connection to the rest of the daemon
        self,
        *,
        clock: Clock,
        here: str,
        interval: Callable[[], float],
        targets: Callable[[], tuple[Target, ...]],
        local_faults_of: LocalFaultsOf,
        publish: Callable[[ReachReport], None],
        tcp_probe: TcpProbe,
        open_socket: OpenSocket = EchoSocket,
        dice: Random | None = None,
    ) -> None:
        dice = dice or Random()
        self._clock = clock
        self._dice = dice
        self._interval = interval
        self._targets = targets
        self._publish = publish
        self._tcp_probe = tcp_probe
        self._roster = Roster()
        self._turns = Turns(dice)
        self._doubt = asyncio.Event()
        self._own: Callable[[], Own] = dict
        self._boot = dice.getrandbits(32)
        self._line = Line(
            clock=clock,
            boot=self._boot,
            interval=interval,
            find=self._roster.find,
            doubt=self._doubt.set,
            told=lambda track, number, whole: self._checking.told(track, number, whole=whole),
            open_socket=open_socket,
        )
        self._checking = self._checks(0, lambda _: None)
        self._shown = Shown(self._roster, here=here, local_faults_of=local_faults_of, clock=clock)
        self._turn = asyncio.Lock()
        self._searches = 0
        self._halves = dice.randrange(BENEATH_EVERY)
        self._problem = ""
        self._outage = Transition()
        self.report = ReachReport()

    def close(self) -> None:
        self._line.close()
        self._checking.close()

    def check_checksums(
        self, port: int, own: Callable[[], Own], corrupted: Callable[[tuple[str, ...]], None]
    ) -> None:
        """Check, from the first round on, the checksums that are left to the network card, by UDP on that port.

        `own` are this host's addresses in a tunnel whose device may leave them to it; `corrupted` takes the peers that
        received a packet with a wrong one.
        """
        self._own = own
        self._checking = self._checks(port, corrupted)

    def _checks(self, port: int, corrupted: Callable[[tuple[str, ...]], None]) -> Checking:
        return Checking(
            clock=self._clock, boot=self._boot, port=port, find=self._roster.find,
            answer=self._line.answer, corrupted=corrupted,
        )  # fmt: skip

    async def run(self) -> Never:
        """Probe until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._retry(), name="probe retries")
                await self._rounds()
        finally:
            self.close()
        raise AssertionError("rounds never end")

    async def round(self) -> ReachReport:
        """Run a whole round now, with a verdict on silent targets; a second caller waits for the first."""
        async with self._turn:
            tracks = self._begin()
            await self._ask_all(tracks, lambda _: BOTH, over=AT_REQUEST_S * len(tracks) / BATCH)
            for _ in range(PATIENCE):
                silent = [track for track in tracks if is_undecided(track)][:AT_ONCE]
                if not silent:
                    break
                await self._ask(silent, BOTH, again=True)
            return self._finish(tracks)

    # Rounds

    async def _rounds(self) -> Never:
        await self.round()
        await self._clock.sleep(self._interval() / 2 * self._dice.random())
        while True:
            tracks = self._begin()
            await self._half(tracks)
            await self._half(tracks)
            self._finish(tracks)

    async def _half(self, tracks: Sequence[Track]) -> None:
        """Probe each once, every fourth batch over the underlay; probe unreachable ones over both paths."""
        self._halves += 1
        length = self._interval() / 2 * self._dice.uniform(*EARLY_LATE)
        until = self._clock.monotonic() + length
        lost = [track for track in tracks if track.reach is Reach.UNREACHABLE]
        well = [track for track in tracks if track.reach is not Reach.UNREACHABLE]
        await self._ask_all(lost, lambda _: BOTH, over=length * SPREAD / 2)
        await self._ask_all(well, self._layer, over=length * SPREAD)
        if any(track.reach is not Reach.REACHABLE for track in tracks):
            self._tell()
        await self._clock.sleep(until - self._clock.monotonic())

    def _layer(self, place: int) -> Sequence[Layer]:
        beneath = (place + self._halves) % BENEATH_EVERY == 0
        return (Layer.UNDERLAY if beneath else Layer.OVERLAY,)

    def _begin(self) -> Sequence[Track]:
        """Those whose turn it is; none if nothing can be sent."""
        self._roster.follow(self._targets())
        self._problem_is(self._line.open(self._roster.families))
        self._line.forget_late()
        self._checking.begin(self._own())
        self._searches = SEARCHES
        return () if self._problem else self._turns.take(list(self._roster.tracks))

    async def _ask_all(
        self, tracks: Sequence[Track], layers: Callable[[int], Sequence[Layer]], *, over: float
    ) -> None:
        """Probe in batches, spread `over` so many seconds; `layers` gives the paths of a batch by its place."""
        batches = list(_batches(tracks))
        async with asyncio.TaskGroup() as group:
            for place, batch in enumerate(batches):
                if place:
                    await self._clock.sleep(over / len(batches))
                group.create_task(self._ask(batch, layers(place)))

    # Between rounds

    async def _retry(self) -> Never:
        while True:
            await self._doubt.wait()
            self._doubt.clear()
            while suspects := retried(self._roster.tracks):
                await self._ask(suspects, BOTH, again=True)

    # One asking

    async def _ask(self, tracks: Sequence[Track], layers: Sequence[Layer], *, again: bool = False) -> None:
        """Send, wait until all came back or for as long as they may take, and judge. `again`: they are suspects."""
        ask = Ask(tracks, layers)
        for track in tracks:
            self._send(ask, track, again=again)
        ask.sent_all = True
        ask.look()
        deadline = self._deadline(tracks)
        until = self._clock.monotonic() + deadline
        await self._wait(ask, deadline)
        changed = ask.judge(counts=self._clock.monotonic() - until < deadline)
        self._shown.stale(tracks)
        if changed:
            self._tell()
        if any(map(is_retried, tracks)):
            self._doubt.set()

    def _send(self, ask: Ask, track: Track, *, again: bool) -> None:
        for layer in ask.layers:
            self._line.send(ask, track, layer)
        if again:
            for _ in range(AGAIN - 1):
                self._line.send(ask, track, Layer.OVERLAY)
        elif Layer.OVERLAY in ask.layers and self._searches and _wants_size(track):
            self._searches -= 1
            self._line.send_sizes(ask, track)
        if not again and Layer.OVERLAY in ask.layers:
            self._checking.look(track)

    def _deadline(self, tracks: Sequence[Track]) -> float:
        """Twice what the slowest took last, if that is long."""
        slowest = max((track.overlay.last or track.underlay.last or 0.0 for track in tracks), default=0.0)
        return min(max(EVERY_S, 2 * slowest), self._interval() * 0.4, MOST_S)

    async def _wait(self, ask: Ask, deadline: float) -> None:
        """Hosts that leave ICMP unanswered are asked by TCP meanwhile: there are networks that drop it."""
        silent = [(layer, [t for t in ask.tracks if t.needs_tcp(layer)][:TCP_PROBES]) for layer in ask.layers]
        async with asyncio.TaskGroup() as group:
            probes = [
                group.create_task(self._probe_by_tcp(ask, track, layer, deadline))
                for layer, tracks in silent
                for track in tracks
            ]
            await set_within(ask.all_in, self._clock, deadline)
            for task in probes:
                task.cancel()

    async def _probe_by_tcp(self, ask: Ask, track: Track, layer: Layer, deadline: float) -> None:
        target = track.target
        address = target.overlay if layer is Layer.OVERLAY else target.underlay
        try:
            took = await self._tcp_probe(address, deadline)
        except UnableToAsk:
            if (
                track.mute if layer is Layer.OVERLAY else track.tcp
            ):  # whose pings stay unanswered is not silent
                ask.unasked.add((track.number, layer))
                track.way(layer).probes.forget_losses()
            return
        number = track.way(layer).probes.newest
        if took is None or number is None or (track.number, layer) in ask.answered:
            return
        track.way(layer).answered(number, took, self._clock.wall())
        if layer is Layer.OVERLAY:
            track.mute += 1
            track.overlay.probes.forget_losses()  # unanswered pings say nothing of the path now
            ask.by_tcp.add(track.number)
        else:
            track.tcp = True
        ask.came(track, layer)

    # What came of it

    def _finish(self, tracks: Sequence[Track]) -> ReachReport:
        """A round is over."""
        probed = len({track.target.key for track in tracks})
        return self._tell(probed=probed, rounds=1)

    def _tell(self, *, probed: int | None = None, rounds: int = 0) -> ReachReport:
        problem = self._problem
        self.report = ReachReport(
            peers=MappingProxyType(self._shown.peers() if not problem else {}),
            of=len(self._roster.by_key),
            probed=self.report.probed if probed is None else probed,
            round=self.report.round + rounds,
            problem=problem,
            rtt_buckets=MappingProxyType(dict(self._line.rtt.cumulative())),
            rtt_sum=self._line.rtt.sum,
            packets_sent=self._line.packets,
            checks_whole=self._checking.whole,
            checks_corrupted=self._checking.broken,
        )
        self._publish(self.report)
        return self.report

    def _problem_is(self, problem: str) -> None:
        self._problem, now = problem, self._clock.monotonic()
        if not problem:
            if self._outage.succeeded(now) is not None:
                log.info("probes_resumed")
        elif self._outage.failed(now, reason=problem):
            log.warning("probes_failed", error=problem)


def _batches(tracks: Sequence[Track]) -> Iterator[Sequence[Track]]:
    return (tracks[at : at + BATCH] for at in range(0, len(tracks), BATCH))


def _wants_size(track: Track) -> bool:
    if track.reach not in {Reach.REACHABLE, Reach.LOSSY} or track.target.wanted <= 0 or track.mute:
        return False
    return track.size.urgent or (track.rounds + track.number) % MTU_EVERY == 0 or not track.size.found.wanted
