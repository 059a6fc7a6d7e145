"""The choice of peers for a round: all if they are few, else those in doubt and some at random. Pure but for dice."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

from flanpy.probe.track import Track

ALL_UP_TO: Final = 32
AT_RANDOM: Final = 16
IN_DOUBT: Final = 16


class Turns:
    """The turns of tracks, in an order that is shuffled again each time all of them have had a turn."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice
        self._queue: list[int] = []

    def take(self, tracks: Sequence[Track]) -> Sequence[Track]:
        """Those to probe in this round."""
        if len(tracks) <= ALL_UP_TO:
            return tracks
        suspects = [track for track in tracks if track.suspect]
        doubtful = self._dice.sample(suspects, min(IN_DOUBT, len(suspects)))
        chosen = {track.number: track for track in doubtful}
        by_number = {track.number: track for track in tracks}
        want = len(chosen) + AT_RANDOM
        while len(chosen) < min(want, len(tracks)):
            if not self._queue:
                self._queue = list(by_number)
                self._dice.shuffle(self._queue)
            number = self._queue.pop()
            if number in by_number:
                chosen.setdefault(number, by_number[number])
        return list(chosen.values())
