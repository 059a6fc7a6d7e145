"""Turns: all while they are few, a bounded number else, and nobody is left out."""

from __future__ import annotations

from random import Random

from flanpy.model.reach import Reach
from flanpy.probe.turns import ALL_UP_TO, AT_RANDOM, IN_DOUBT, Turns
from tests.probe.worlds import track


def test_all_are_probed_while_they_are_few() -> None:
    tracks = [track(n) for n in range(ALL_UP_TO)]
    assert list(Turns(Random(1)).take(tracks)) == tracks


def test_everybody_has_a_turn_within_one_cycle_when_they_are_many() -> None:
    tracks, turns = [track(n) for n in range(1000)], Turns(Random(1))
    seen = {one.number for _ in range(1000 // AT_RANDOM + 1) for one in turns.take(tracks)}
    assert len(seen) == 1000


def test_round_is_bounded_however_many_are_in_doubt() -> None:
    tracks = [track(n) for n in range(1000)]
    for one in tracks:
        one.reach = Reach.UNREACHABLE
    assert len(Turns(Random(1)).take(tracks)) <= AT_RANDOM + IN_DOUBT


def test_who_was_silent_is_probed_again_at_once() -> None:
    tracks, turns = [track(n) for n in range(1000)], Turns(Random(1))
    tracks[77].overlay.silence = 1
    assert all(tracks[77] in turns.take(tracks) for _ in range(5))
