"""Keeps the last 24 h of every direction between two hosts: how it was at worst, its losses, its round trips.

Owned by the page: kept in memory, from the daemon's start on, in steps of a quarter of an hour. Bounded by the number
of directions; what was not measured stays unknown, which is not the same as well.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flanpy.model.reach import Reach

Document = dict[str, Any]

STEP: Final = 900
"""Seconds of one step."""
STEPS: Final = 96
MOST: Final = 4096
"""Directions that are kept: those of 64 hosts."""

_MOST_STRIPS: Final = 64

_RANKS: Final = {
    Reach.UNKNOWN.value: 0,
    Reach.REACHABLE.value: 1,
    Reach.LOSSY.value: 2,
    Reach.UNREACHABLE.value: 3,
}


def _digits(steps: bytes) -> str:
    return "".join(map(str, steps))


def _floats() -> array[float]:
    return array("f", [0.0] * STEPS)


def _counts() -> array[int]:
    return array("H", [0] * STEPS)


@dataclass(slots=True)
class _Track:
    """One direction: a ring of steps. Sums and counts, so that a step gives means."""

    worst: bytearray = field(default_factory=lambda: bytearray(STEPS))
    losses: array[float] = field(default_factory=_floats)
    loss_count: array[int] = field(default_factory=_counts)
    rtts: array[float] = field(default_factory=_floats)
    rtt_count: array[int] = field(default_factory=_counts)

    def note(self, place: int, row: Mapping[str, Any]) -> None:
        self.worst[place] = max(self.worst[place], _RANKS[row["reach"]])
        if row["loss"] is not None:
            self.losses[place] += row["loss"]
            self.loss_count[place] += 1
        if row["rtt_ms"] is not None:
            self.rtts[place] += row["rtt_ms"]
            self.rtt_count[place] += 1

    def clear(self, place: int) -> None:
        self.worst[place] = 0
        for numbers in (self.losses, self.loss_count, self.rtts, self.rtt_count):
            numbers[place] = 0


class Day:
    """`note` what all hosts told, now and then; `strips` and `pair` give it back, oldest step first."""

    def __init__(self) -> None:
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._step = 0

    def note(self, rows: Iterable[Mapping[str, Any]], at: float) -> None:
        """Take rows of the mesh (hosts by their names for people), measured at wall time `at`."""
        self._go_on(int(at // STEP))
        for row in rows:
            track = self._tracks.get((row["from"], row["to"]))
            if track is None and len(self._tracks) < MOST:
                track = self._tracks[row["from"], row["to"]] = _Track()
            if track is not None:
                track.note(self._step % STEPS, row)

    def strips(self) -> Document:
        """Return `{end, step, all, hosts}`: a digit a step for all directions, and for those of each host.

        0 is not measured, 1 well, 2 lossy, 3 unreachable; the worst counts. `end` is the wall time at which the last
        step ends. Of many hosts those are told that had trouble.
        """
        hosts: dict[str, bytes] = {}
        for ends, track in self._tracks.items():
            worst = self._in_order(track.worst)
            for host in ends:
                known = hosts.get(host, bytes(STEPS))
                hosts[host] = bytes(map(max, known, worst))
        of_all = bytes(map(max, *hosts.values())) if hosts else bytes(STEPS)
        if len(hosts) > _MOST_STRIPS:
            hosts = {host: worst for host, worst in hosts.items() if max(worst) > 1}
        told = {host: _digits(worst) for host, worst in list(hosts.items())[:_MOST_STRIPS]}
        return {**self._frame(), "all": _digits(of_all), "hosts": told}

    def pair(self, one: str, other: str) -> Document:
        """Return `{end, step, out, back}`: losses (0 to 1) and round trips (ms) of both directions, None a gap."""
        return {**self._frame(), "out": self._direction(one, other), "back": self._direction(other, one)}

    def _frame(self) -> Document:
        return {"end": (self._step + 1) * STEP, "step": STEP}

    def _direction(self, one: str, other: str) -> Document:
        track = self._tracks.get((one, other), _NOTHING)
        return {
            "worst": _digits(self._in_order(track.worst)),
            "loss": self._means(track.losses, track.loss_count),
            "rtt_ms": self._means(track.rtts, track.rtt_count),
        }

    def _means(self, sums: array[float], counts: array[int]) -> list[float | None]:
        places = [(self._step + 1 + ago) % STEPS for ago in range(STEPS)]
        return [round(sums[place] / counts[place], 4) if counts[place] else None for place in places]

    def _in_order(self, ring: bytearray) -> bytes:
        first = (self._step + 1) % STEPS
        return bytes(ring[first:] + ring[:first])

    def _go_on(self, step: int) -> None:
        """Forget the steps that the ring comes to again; a clock that was set back begins a new day."""
        if step < self._step or step - self._step >= STEPS:
            self._tracks.clear()
        for passed in range(self._step + 1, step + 1) if self._tracks else ():
            for track in self._tracks.values():
                track.clear(passed % STEPS)
        self._step = step
        for ends in [ends for ends, track in self._tracks.items() if not any(track.worst)]:
            del self._tracks[ends]


_NOTHING: Final = _Track()
