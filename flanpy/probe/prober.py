"""Probes peers in rounds and reports what came of it.

One task, one socket a family, whatever the number of peers: requests go out in small batches over part of the
interval, answers are taken in by a callback whenever they come. A round sends at most `turns.ALL_UP_TO` targets one
probe each over either road, again to those that stay silent, and packets of full size to some. Round trips and
deadlines are of the monotonic clock; wall time only labels what is shown.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import Final, Never

from flanpy.clock import Clock, set_within
from flanpy.errors import KernelError
from flanpy.log import Transition, get_logger
from flanpy.model.address import Family, IPAddress
from flanpy.model.histogram import ROUND_TRIPS, Histogram
from flanpy.model.lease import SubnetKey
from flanpy.model.reach import PeerReach, Reach, ReachReport, Road
from flanpy.probe.icmp import EchoRefused, EchoSocket
from flanpy.probe.knock import knock
from flanpy.probe.packet import Incoming, Kind, Probe, least_size
from flanpy.probe.report import SnagsOf, peer_reach, worst
from flanpy.probe.target import Target
from flanpy.probe.track import Track
from flanpy.probe.turns import Turns

log = get_logger()

BATCH: Final = 4
"""Targets that are sent to at once."""

SPREAD: Final = 0.4
"""Share of the interval over which a round's probes are spread."""

TRIES: Final = 3
"""Probes over the overlay in one round to a peer that stays silent: one packet may be lost."""

DEADLINE_S: Final = 2.0
"""After which a probe counts as lost, unless the answer comes later."""

MTU_EVERY: Final = 6
"""Rounds between two packets of full size to the same peer."""

SEARCHES: Final = 8
"""Targets whose largest packet is searched for in one round."""

KNOCKS: Final = 4
"""TCP connections tried in one round, to hosts that leave ICMP unanswered."""

LATE_S: Final = 60.0
"""How long an answer is waited for; later ones are no longer known."""

_BUSY: Final = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM})


@dataclass(slots=True)
class Pending:
    """A probe on its way."""

    track: Track
    road: Road
    at: float
    size: int = 0


@dataclass(slots=True)
class _Round:
    """What one round sent and got back, by track: `got` and `tried` are sizes of large packets."""

    tracks: Sequence[Track]
    answered: set[tuple[int, Road]] = field(default_factory=set)
    got: dict[int, set[int]] = field(default_factory=dict)
    tried: dict[int, set[int]] = field(default_factory=dict)
    all_in: asyncio.Event = field(default_factory=asyncio.Event)
    sent_all: bool = False

    def missing(self, road: Road) -> list[Track]:
        return [track for track in self.tracks if (track.number, road) not in self.answered]

    def look(self) -> None:
        """Ends the wait early once everything has come back."""
        if self.sent_all and len(self.answered) >= 2 * len(self.tracks) and self.got == self.tried:
            self.all_in.set()


OpenSocket = Callable[[Family, Clock, Callable[[Incoming, float], None]], EchoSocket]


class Prober:
    """`targets` says whom to probe, `snags_of` what this host knows of itself; `publish` takes each report."""

    def __init__(  # noqa: PLR0913, each is one connection to the rest of the daemon
        self,
        *,
        clock: Clock,
        here: str,
        interval: Callable[[], float],
        targets: Callable[[], tuple[Target, ...]],
        snags_of: SnagsOf,
        publish: Callable[[ReachReport], None],
        knock_port: int,
        open_socket: OpenSocket = EchoSocket,
        dice: Random | None = None,
    ) -> None:
        self._clock = clock
        self._here = here
        self._interval = interval
        self._targets = targets
        self._snags_of = snags_of
        self._publish = publish
        self._knock_port = knock_port
        self._open_socket = open_socket
        dice = dice or Random()
        self._boot = dice.getrandbits(32)
        self._turns = Turns(dice)
        self._number = 0
        self._sockets: dict[Family, EchoSocket] = {}
        self._tracks: dict[Target, Track] = {}
        self._families: set[Family] = set()
        self._by_key: dict[SubnetKey, list[Track]] = {}
        self._shown: dict[SubnetKey, PeerReach] = {}
        self._seen_targets: tuple[Target, ...] = ()
        self._by_address: dict[IPAddress, tuple[Track, Road]] = {}
        self._pending: dict[int, Pending] = {}
        self._round: _Round | None = None
        self._turn = asyncio.Lock()
        self._problem = Transition()
        self._rtt = Histogram.of(ROUND_TRIPS)
        self._packets = 0
        self.report = ReachReport()

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    async def run(self) -> Never:
        """Probe until cancelled."""
        try:
            while True:
                began = self._clock.monotonic()
                await self.round()
                await self._clock.sleep(self._interval() - (self._clock.monotonic() - began))
        finally:
            self.close()

    async def round(self) -> ReachReport:
        """One round, now; a second caller waits for the first."""
        async with self._turn:
            self._follow(self._targets())
            problem = self._open()
            if problem or not self._tracks:
                return self._finish((), problem)
            round_ = self._round = _Round(self._turns.take(list(self._tracks.values())))
            await self._send(round_)
            await self._wait(round_)
            await self._knock(round_)
            self._judge(round_)
            self._round = None
            return self._finish(round_.tracks, "")

    # Sockets and targets

    def _open(self) -> str:
        """Open what lacks; says why nothing can be sent, "" if something can."""
        families, problem = self._families, ""
        for family in sorted(families - set(self._sockets)):
            try:
                self._sockets[family] = self._open_socket(family, self._clock, self._receive)
            except KernelError as error:
                problem = str(error)
        return "" if set(self._sockets) & families else problem

    def _follow(self, targets: tuple[Target, ...]) -> None:
        """Forget peers that went; one that changed its address is another target."""
        if targets is self._seen_targets:
            return
        self._seen_targets = targets
        tracks = {}
        for target in targets:
            known = self._tracks.get(target)
            if known is None:
                self._number += 1
                known = Track.of(target, self._number)
            tracks[target] = known
        self._tracks = tracks
        self._families = {target.family for target in tracks}
        self._by_key = {}
        for track in tracks.values():
            self._by_key.setdefault(track.target.key, []).append(track)
        self._shown = {key: peer for key, peer in self._shown.items() if key in self._by_key}
        self._by_address = {t.target.underlay: (t, Road.UNDERLAY) for t in tracks.values()}
        self._by_address.update({t.target.overlay: (t, Road.OVERLAY) for t in tracks.values()})

    # Out

    async def _send(self, round_: _Round) -> None:
        searches = 0
        batches = [round_.tracks[at : at + BATCH] for at in range(0, len(round_.tracks), BATCH)]
        pause = self._interval() * SPREAD / len(batches)
        for place, batch in enumerate(batches):
            if place:
                await self._clock.sleep(pause)
            for track in batch:
                for road in Road:
                    self._probe(track, road)
                if self._wants_size(track) and searches < SEARCHES:
                    searches += 1
                    self._probe_sizes(round_, track)
        for _ in range(TRIES - 1):
            await self._clock.sleep(min(self._interval() * 0.1, DEADLINE_S / 2))
            for track in round_.missing(Road.OVERLAY)[:BATCH]:
                if track.reach is not Reach.UNREACHABLE:
                    self._probe(track, Road.OVERLAY)
            if not round_.missing(Road.OVERLAY):
                break
        round_.sent_all = True
        round_.look()

    def _wants_size(self, track: Track) -> bool:
        if track.reach not in {Reach.REACHABLE, Reach.LOSSY} or track.target.wanted <= 0:
            return False
        return (
            track.size.urgent or (track.rounds + track.number) % MTU_EVERY == 0 or not track.size.found.wanted
        )

    def _probe_sizes(self, round_: _Round, track: Track) -> None:
        tried = round_.tried.setdefault(track.number, set())
        round_.got.setdefault(track.number, set())
        for size in track.size.sizes():
            if size > least_size(track.target.family) and self._probe(track, Road.OVERLAY, size=size):
                tried.add(size)

    def _probe(self, track: Track, road: Road, *, size: int = 0) -> bool:
        """Send one; says whether it went out, or was refused as too large, which is an answer too."""
        target = track.target
        sock = self._sockets.get(target.family)
        if sock is None:
            return False
        self._number = (self._number + 1) & 0xFFFFFFFF
        now = self._clock.monotonic()
        hears = track.hears(Road.OVERLAY, now)
        probe = Probe(self._boot, self._number, hears, self._interval())
        address = target.overlay if road is Road.OVERLAY else target.underlay
        way = track.ways[road]
        try:
            sock.send(address, probe, size=size)
        except EchoRefused as refused:
            if refused.errno in _BUSY:
                return False  # it says nothing of the peer
            if refused.errno == errno.EMSGSIZE:
                return size > 0
            way.errno = refused.errno
            if not size:
                way.sent(self._number)
            return False
        self._packets += 1
        self._pending[self._number] = Pending(track, road, now, size)
        if not size:
            way.sent(self._number)
        return True

    async def _wait(self, round_: _Round) -> None:
        await set_within(round_.all_in, self._clock, min(self._interval() * 0.4, DEADLINE_S))
        self._forget()

    def _forget(self) -> None:
        limit = self._clock.monotonic() - LATE_S
        for number, pending in list(self._pending.items()):
            if pending.at > limit:
                return
            del self._pending[number]

    async def _knock(self, round_: _Round) -> None:
        """Ask hosts by TCP that leave ICMP unanswered: there are networks that drop it."""
        silent = round_.missing(Road.UNDERLAY)[:]
        if not silent:
            return
        chosen = [silent[(n + self.report.round) % len(silent)] for n in range(min(KNOCKS, len(silent)))]
        deadline = min(self._interval() * 0.4, DEADLINE_S)
        knocks = [
            knock(track.target.underlay, self._knock_port, clock=self._clock, deadline=deadline)
            for track in chosen
        ]
        for track, took in zip(chosen, await asyncio.gather(*knocks), strict=True):
            if took is not None and track.underlay.probes:
                track.underlay.answered(next(reversed(track.underlay.probes)), took, self._clock.wall())
                track.tcp = True
                round_.answered.add((track.number, Road.UNDERLAY))

    # In

    def _receive(self, incoming: Incoming, at: float) -> None:
        match incoming.kind:
            case Kind.REQUEST:
                self._heard(incoming, at)
            case Kind.ANSWER:
                self._answered(incoming, at)
            case Kind.REFUSAL:
                self._refused(incoming)

    def _heard(self, incoming: Incoming, at: float) -> None:
        found = self._by_address.get(incoming.sender)
        if found is None or incoming.probe.boot == self._boot:
            return
        track, road = found
        track.heard[road] = at
        track.their_interval = incoming.probe.interval
        if road is Road.OVERLAY:
            track.heard_wall = self._clock.wall()
        track.hears_us = at if incoming.probe.hears else None

    def _answered(self, incoming: Incoming, at: float) -> None:
        pending = self._own(incoming)
        if pending is None or incoming.sender != _address(pending):
            return
        del self._pending[incoming.probe.number]
        track, round_ = pending.track, self._round
        rtt = max(0.0, at - pending.at)
        if pending.size:
            if round_ is not None and track.number in round_.got:
                round_.got[track.number].add(pending.size)
                round_.look()
            return
        track.ways[pending.road].answered(incoming.probe.number, rtt, self._clock.wall())
        if pending.road is Road.OVERLAY:
            self._rtt = self._rtt.with_one(rtt)
        else:
            track.tcp = False
        if round_ is not None:
            round_.answered.add((track.number, pending.road))
            round_.look()

    def _refused(self, incoming: Incoming) -> None:
        pending = self._own(incoming)
        if pending is not None and incoming.prohibited:
            pending.track.ways[pending.road].refused = str(incoming.sender)

    def _own(self, incoming: Incoming) -> Pending | None:
        return self._pending.get(incoming.probe.number) if incoming.probe.boot == self._boot else None

    # What came of it

    def _judge(self, round_: _Round) -> None:
        for road in Road:
            for track in round_.missing(road):
                track.ways[road].silent_rounds += 1
        for track in round_.tracks:
            answered = (track.number, Road.OVERLAY) in round_.answered
            if track.number in round_.tried:
                got, tried = round_.got[track.number], round_.tried[track.number]
                track.size.learn(got, tried, small_passes=answered)
            track.judge()

    def _finish(self, tracks: Iterable[Track], problem: str) -> ReachReport:
        self._tell(problem)
        peers = self._peers({track.target.key for track in tracks}) if not problem else {}
        self.report = ReachReport(
            peers=MappingProxyType(peers),
            of=len(self._by_key),
            probed=len({track.target.key for track in tracks}),
            round=self.report.round + 1,
            problem=problem,
            rtt_buckets=MappingProxyType(dict(self._rtt.cumulative())),
            rtt_sum=self._rtt.sum,
            packets_sent=self._packets,
        )
        self._publish(self.report)
        return self.report

    def _tell(self, problem: str) -> None:
        now = self._clock.monotonic()
        if not problem:
            if self._problem.succeeded(now) is not None:
                log.info("probes_resumed")
        elif self._problem.failed(now, reason=problem):
            log.warning("probes_failed", error=problem)

    def _peers(self, fresh: set[SubnetKey]) -> dict[SubnetKey, PeerReach]:
        """The last report's, with those of this round made anew. Of the families of a peer the worse one tells."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        found = dict(self._shown)
        alone = len(self._tracks) > 1 and not any(
            track.underlay.silent_rounds == 0 and track.underlay.ever for track in self._tracks.values()
        )
        for key in fresh:
            reached = None
            for track in (each for each in self._by_key[key] if each.rounds):
                snags = self._snags_of(track.target)
                one = peer_reach(track, here=self._here, alone=alone, snags=snags, now=now)
                reached = worst(reached, one)
            assert reached is not None
            found[key] = _since(reached, found.get(key), wall)
        self._shown = found
        return found


def _address(pending: Pending) -> IPAddress:
    target = pending.track.target
    return target.overlay if pending.road is Road.OVERLAY else target.underlay


def _since(peer: PeerReach, before: PeerReach | None, wall: float) -> PeerReach:
    """With the time of its last change."""
    same = before is not None and (before.reach, before.diagnosis.trouble) == (
        peer.reach,
        peer.diagnosis.trouble,
    )
    return replace(peer, changed_at=before.changed_at if same and before is not None else wall)
