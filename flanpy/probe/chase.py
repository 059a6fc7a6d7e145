"""Whom to ask again at once, between the rounds: peers whose echo was lost, until they answer or are given up. Pure.

A round asks everybody seldom, which is cheap; one lost echo makes a suspect, and suspects are asked about once a
second, so that a cut is seen within seconds. However many are lost at once, few are asked at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flanpy.model.reach import Reach
from flanpy.probe.track import Track

EVERY_S: Final = 0.7
"""How long suspects have to answer before they are asked again."""

AT_ONCE: Final = 8
"""Suspects that are asked at a time: at most 24 packets, however large the outage."""

GIVEN_UP: Final = 12
"""Askings without an answer after which only rounds ask: a short outage ends as visibly as it began."""


def chased(tracks: Iterable[Track]) -> list[Track]:
    """At most `AT_ONCE`: whose verdict takes the fewest probes first, those that are known to be out of reach last."""
    suspects = [track for track in tracks if is_chased(track)]
    suspects.sort(
        key=lambda track: (track.reach is Reach.UNREACHABLE, track.patience - track.telling.silence)
    )
    return suspects[:AT_ONCE]


def is_chased(track: Track) -> bool:
    """The underlay's first lost echo counts as well: a cable that is pulled takes both roads."""
    beneath = track.underlay.silence == 1 and not track.tcp
    return track.doubted or beneath or 0 < track.telling.silence < GIVEN_UP


def is_undecided(track: Track) -> bool:
    """Whether it is silent, but not yet for long enough to say so."""
    return 0 < track.telling.silence < track.patience
