"""Fast re-probe between the rounds: peers whose echo was lost, until they answer or are given up. Pure.

A round probes every peer at long intervals, which is cheap; one lost echo makes a suspect, and suspects are probed
about once a second, so that a cut is seen within seconds. However many are lost at once, few are probed at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from flanpy.model.reach import Reach
from flanpy.probe.track import Track

EVERY_S: Final = 0.7
"""Seconds that suspects have to answer before they are probed again."""

AT_ONCE: Final = 8
"""Suspects that are probed at a time: at most 24 packets, however large the outage."""

GIVEN_UP: Final = 12
"""Unanswered probes after which only rounds probe: a short outage ends as visibly as it began."""


def retried(tracks: Iterable[Track]) -> list[Track]:
    """Return at most `AT_ONCE` suspects: those whose verdict takes the fewest probes first, unreachable ones last."""
    suspects = [track for track in tracks if is_retried(track)]
    suspects.sort(
        key=lambda track: (track.reach is Reach.UNREACHABLE, track.patience - track.telling.silence)
    )
    return suspects[:AT_ONCE]


def is_retried(track: Track) -> bool:
    """Report whether the peer is a suspect. The underlay's first lost echo counts: a pulled cable cuts both paths."""
    beneath = track.underlay.silence == 1 and not track.tcp
    return track.doubted or beneath or 0 < track.telling.silence < GIVEN_UP


def is_undecided(track: Track) -> bool:
    """Report whether the peer is silent, but not yet for long enough to be called unreachable."""
    return 0 < track.telling.silence < track.patience
