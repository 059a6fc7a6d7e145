"""The state of one target: its last probes over each path, its reach, and the largest packet that passes.

Plain state with plain rules: from the probes sent and the answers received it computes the peer's reach. Knows no
socket, and no clock but the times that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from flanpy.model.reach import Layer, LayerHealth, PathMtu, Reach
from flanpy.probe.payload import Checked
from flanpy.probe.target import Target
from flanpy.probe.window import Window

PATIENCE: Final = 4
"""Askings without any answer after which a peer is unreachable. One answer makes it reachable."""

PATIENCE_WITH_LOSSY: Final = 8
"""The same for a peer that is known to lose many: some askings in a row are lost by chance."""

DOUBTS: Final = 2
"""Words of a peer within an interval that have it probed at once: a cut, and its end."""

TCP_PROBE_FROM: Final = 2
"""Pings over the overlay in a row without an answer after which TCP is tried, too."""

LOSSY_FROM, LOSSY_UNTIL = 0.25, 0.15
"""Shares of lost probes: where a peer becomes lossy, and below which it no longer is."""

_ENOUGH: Final = 8
"""Probes before a share of them means anything."""

LEAST_MTU: Final = 576
STEPS: Final = 7
"""Sizes tried at once between what passed and what did not: three rounds find the exact byte among a thousand."""


@dataclass(slots=True)
class ProbedPath:
    """One path to a target, as its last probes found it.

    `silence` counts probes in a row without an answer, and `unanswered_since` is the time at which the first of them
    was sent (monotonic).
    """

    probes: Window = field(default_factory=Window)
    last: float | None = None
    answered_at: float | None = None
    silence: int = 0
    unanswered_since: float | None = None
    refused: str = ""
    errno: int = 0

    @property
    def ever(self) -> bool:
        """Report whether a probe was answered at least once."""
        return self.answered_at is not None

    def sent(self, number: int, now: float) -> None:
        self.probes.sent(number)
        if self.unanswered_since is None:
            self.unanswered_since = now

    def answered(self, number: int, rtt: float, wall: float) -> None:
        """However late: the path bore it. What has left the window counts only as a sign of life.

        The losses of an outage go with it: they say nothing of the path that is there again.
        """
        self.probes.answered(number, rtt)
        if self.silence >= PATIENCE:
            self.probes.forget_losses()
        self.last, self.answered_at = rtt, wall
        self.silence, self.unanswered_since = 0, None
        self.refused, self.errno = "", 0

    @property
    def loss(self) -> float:
        return self.probes.loss

    def health(self) -> LayerHealth:
        if not self.probes:
            return _UNASKED
        times = self.probes.times
        return LayerHealth(
            sent=len(self.probes),
            answered=len(times),
            loss=self.loss,
            rtt=self.last if times else None,
            rtt_least=min(times, default=None),
            rtt_mean=sum(times) / len(times) if times else None,
            answered_at=self.answered_at,
        )


_UNASKED: Final = LayerHealth()


@dataclass(slots=True)
class SizeSearch:
    """The largest packet that passes: `passed` did, `failed` did not. Nothing is said before a loss was seen twice."""

    wanted: int
    passed: int = 0
    failed: int = 0
    losses: int = 0

    def sizes(self) -> tuple[int, ...]:
        """Return the sizes to try next; the wanted size is always among them, so that a cure shows."""
        if self.losses == 0:
            return (self.wanted,)
        low, high = max(self.passed, LEAST_MTU - 1), self.failed or self.wanted
        step = (high - low) / (STEPS + 1)
        between = {low + round(step * n) for n in range(1, STEPS + 1)} - {low, high}
        return (self.wanted, *sorted(between))

    def learn(self, got: set[int], tried: set[int], *, small_passes: bool) -> None:
        """Narrow the search: `got` of the sizes `tried` came back."""
        if self.wanted in got:
            self.passed, self.failed, self.losses = self.wanted, 0, 0
        elif small_passes and self.wanted in tried:
            self._narrow(got, tried)

    def _narrow(self, got: set[int], tried: set[int]) -> None:
        if self.losses == 0:
            self.passed, self.failed = 0, self.wanted
        self.losses += 1
        best = max(got, default=0)
        if best >= self.failed:  # it widened meanwhile
            self.failed = self.wanted
        self.passed = max(self.passed, best)
        missing = [size for size in tried - got if size > self.passed]
        self.failed = min([self.failed, *missing])

    @property
    def found(self) -> PathMtu:
        if self.losses == 1:  # one large packet may be lost as any packet may
            return PathMtu(self.wanted, self.wanted)
        return PathMtu(self.passed, self.wanted) if self.passed or self.losses else PathMtu()

    @property
    def urgent(self) -> bool:
        return self.losses > 0


@dataclass(slots=True)
class Track:
    """One probed target. `heard`, `heard_beneath`: monotonic time of the peer's last probe over either path.

    `their_interval`: seconds between two of the peer's rounds.

    `hears_us`: monotonic time at which the peer last said that our probes reach it over the overlay. `tcp`: over the
    underlay it answers to TCP only. `mute`: askings in a row that it answered over the overlay to TCP only.
    `doubted`: probe it at once. `rounds` counts the probes over the overlay.
    `checked`: the peer's word on checksums of ours, None before the first.
    """

    target: Target
    number: int
    size: SizeSearch
    overlay: ProbedPath = field(default_factory=ProbedPath)
    underlay: ProbedPath = field(default_factory=ProbedPath)
    reach: Reach = Reach.UNKNOWN
    heard: float | None = None
    heard_beneath: float | None = None
    heard_wall: float | None = None
    hears_us: float | None = None
    their_interval: float = 0.0
    rounds: int = 0
    tcp: bool = False
    mute: int = 0
    doubted: bool = False
    doubts: int = 0
    doubts_since: float = float("-inf")
    checked: Checked | None = None

    @classmethod
    def of(cls, target: Target, number: int) -> Track:
        return cls(target, number, SizeSearch(target.wanted))

    def way(self, layer: Layer) -> ProbedPath:
        return self.overlay if layer is Layer.OVERLAY else self.underlay

    def note_heard(self, layer: Layer, at: float) -> None:
        """Note that a probe of the peer came in."""
        if layer is Layer.OVERLAY:
            self.heard = at
        else:
            self.heard_beneath = at

    def may_doubt(self, at: float, interval: float) -> bool:
        """Count a word of the peer's that would have it probed at once, and report whether it still does.

        A cut and its end are two within an interval; probes are not authenticated, and forged ones say both in turn.
        """
        if at - self.doubts_since >= interval:
            self.doubts_since, self.doubts = at, 0
        self.doubts += 1
        return self.doubts <= DOUBTS

    def needs_tcp(self, layer: Layer) -> bool:
        """Report whether to try TCP beside the ping: hosts and networks may leave pings unanswered.

        Over the overlay only after two unanswered ones, since a lost packet is to be seen as a loss; and not where the
        ping itself was refused.
        """
        if layer is Layer.UNDERLAY:
            return self.tcp or bool(self.underlay.silence)
        over = self.overlay
        return bool(self.mute) or (over.silence >= TCP_PROBE_FROM and not over.errno and not over.refused)

    @property
    def ignores_pings(self) -> bool:
        """Report whether the peer answers over the overlay, for some time to TCP only."""
        return self.mute >= PATIENCE

    @property
    def suspect(self) -> bool:
        """Report whether to probe the peer again at once where only some peers are probed in a round."""
        return self.reach is Reach.UNREACHABLE or self.overlay.silence > 0 or self.size.urgent

    @property
    def patience(self) -> int:
        """Return the number of unanswered probes after which the peer is unreachable."""
        return PATIENCE_WITH_LOSSY if self.reach is Reach.LOSSY else PATIENCE

    def judge(self) -> None:
        """Judge the reach, after a batch and its deadline."""
        way = self.telling
        if way.silence >= self.patience:
            self.reach = Reach.UNREACHABLE
        elif way.silence == 0 and way.ever:
            limit = LOSSY_UNTIL if self.reach is Reach.LOSSY else LOSSY_FROM
            lossy = len(way.probes) >= _ENOUGH and way.loss >= limit
            self.reach = Reach.LOSSY if lossy else Reach.REACHABLE

    @property
    def telling(self) -> ProbedPath:
        """Return the path whose answers count.

        A bridge's address that never answered may not exist: the underlay then counts, which carries the overlay too.
        """
        return self.overlay if self.target.certain or self.overlay.ever else self.underlay

    def hears(self, layer: Layer, now: float) -> bool:
        """Report whether the peer's probes reach us: a recent one did, and since ours went unanswered."""
        heard = self.heard if layer is Layer.OVERLAY else self.heard_beneath
        return self._is_fresh(heard, self.way(layer), now - self._gap(layer))

    def is_heard(self, now: float) -> bool:
        """Report whether the peer says that our probes reach it."""
        return self._is_fresh(self.hears_us, self.overlay, now - self._gap(Layer.OVERLAY))

    def _gap(self, layer: Layer) -> float:
        """Return the most seconds between two probes of the peer, with a margin; the underlay has one in two rounds."""
        return (1.5 if layer is Layer.OVERLAY else 2.7) * self.their_interval + 0.5

    def _is_fresh(self, at: float | None, way: ProbedPath, since: float) -> bool:
        """Report whether `at` is after `since` and after a silence began: earlier facts do not describe the fault."""
        if at is None or at <= since:
            return False
        return way.silence == 0 or way.unanswered_since is None or at > way.unanswered_since
