"""One batch of probes: some targets, probed over one path or both at once, and the answers before its deadline.

Plain state. Knows no socket and no clock: from the probes sent and the answers received it finds the silent targets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from flanpy.model.reach import Layer, Reach
from flanpy.probe.track import Track

BOTH = (Layer.OVERLAY, Layer.UNDERLAY)


@dataclass(slots=True)
class Ask:
    """`got` and `tried` are sizes of large packets, by a track's number; `by_tcp` are tracks that only TCP reached.

    `unasked` are those that answer by TCP alone, and that this host had no means to ask: nothing is learnt of them.
    """

    tracks: Sequence[Track]
    layers: Sequence[Layer]
    answered: set[tuple[int, Layer]] = field(default_factory=set)
    got: dict[int, set[int]] = field(default_factory=dict)
    tried: dict[int, set[int]] = field(default_factory=dict)
    by_tcp: set[int] = field(default_factory=set)
    unasked: set[tuple[int, Layer]] = field(default_factory=set)
    all_in: asyncio.Event = field(default_factory=asyncio.Event)
    sent_all: bool = False

    def came(self, track: Track, layer: Layer) -> None:
        self.answered.add((track.number, layer))
        self.look()

    def large_came(self, track: Track, size: int) -> None:
        self.got[track.number].add(size)
        self.look()

    def look(self) -> None:
        """End the wait early once all answers have come."""
        answered = len(self.answered) >= len(self.layers) * len(self.tracks)
        if self.sent_all and answered and self.got == self.tried:
            self.all_in.set()

    def judge(self, *, counts: bool) -> bool:
        """Judge the targets after the wait, and report whether any peer became unreachable or reachable.

        `counts`: the wait ended in time. If this host itself was late, silence proves nothing about others.
        """
        before = self._lost()
        for track in self.tracks:
            for layer in self.layers:
                if counts and (track.number, layer) not in self.answered | self.unasked:
                    track.way(layer).silence += 1
            self._learn_size(track)
            track.rounds += Layer.OVERLAY in self.layers
            track.doubted = False
            track.judge()
        return before != self._lost()

    def _lost(self) -> list[int]:
        return [track.number for track in self.tracks if track.reach is Reach.UNREACHABLE]

    def _learn_size(self, track: Track) -> None:
        if track.number in self.tried:
            pinged = track.number not in self.by_tcp
            small = pinged and (track.number, Layer.OVERLAY) in self.answered
            track.size.learn(self.got[track.number], self.tried[track.number], small_passes=small)
