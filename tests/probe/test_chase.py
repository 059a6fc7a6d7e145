"""The chase: who is asked again between the rounds, in which order, and until when."""

from __future__ import annotations

import pytest

from flanpy.model.reach import Reach, Road
from flanpy.probe.asking import BOTH, Ask
from flanpy.probe.chase import AT_ONCE, GIVEN_UP, chased, is_chased, is_undecided
from flanpy.probe.track import PATIENCE, PATIENCE_WITH_LOSSY, Track
from tests.probe.worlds import track


def silent(number: int, silence: int) -> Track:
    """A peer that answered once and has left so many askings over the overlay without an answer."""
    one = track(number)
    answer(one, Road.OVERLAY)
    one.overlay.silence = silence
    one.judge()
    return one


def answer(one: Track, road: Road, number: int = 1) -> None:
    one.way(road).sent(number, 1.0)
    one.way(road).answered(number, 0.001, 1.0)


def test_nobody_is_chased_while_all_answer() -> None:
    assert chased([silent(n, 0) for n in range(1, 30)]) == []


def test_one_lost_echo_makes_a_suspect_and_an_answer_frees_it() -> None:
    one = silent(1, 1)
    assert chased([one]) == [one]
    answer(one, Road.OVERLAY, 2)
    assert chased([one]) == []


def test_whole_outage_is_chased_few_at_a_time_and_the_almost_decided_first() -> None:
    tracks = [silent(n, 1 + n % 6) for n in range(1, 1001)]
    found = chased(tracks)
    assert len(found) == AT_ONCE
    assert {one.overlay.silence for one in found} == {PATIENCE - 1}
    assert all(one.reach is not Reach.UNREACHABLE for one in found)


def test_peer_out_of_reach_is_chased_a_while_and_then_left_to_the_rounds() -> None:
    assert is_chased(silent(1, PATIENCE))
    assert not is_undecided(silent(1, PATIENCE))
    assert not is_chased(silent(1, GIVEN_UP))


def test_underlay_that_lost_one_echo_is_asked_again_once_and_silence_that_stays_is_no_news() -> None:
    one = silent(1, 0)
    one.underlay.silence = 1
    assert is_chased(one)
    one.underlay.silence = 2
    assert not is_chased(one)
    one.underlay.silence, one.tcp = 1, True
    assert not is_chased(one)


def test_lossy_peer_has_twice_the_time_to_answer() -> None:
    one = silent(1, 0)
    one.reach = Reach.LOSSY
    one.overlay.silence = PATIENCE
    one.judge()
    assert (one.reach, one.patience) == (Reach.LOSSY, PATIENCE_WITH_LOSSY)


def test_asking_that_ended_late_itself_blames_nobody() -> None:
    one = silent(1, 0)
    ask = Ask([one], BOTH)
    assert not ask.judge(counts=False)
    assert (one.overlay.silence, one.underlay.silence) == (0, 0)
    for _ in range(PATIENCE - 1):
        assert not ask.judge(counts=True)
    assert ask.judge(counts=True)
    assert one.reach is Reach.UNREACHABLE


@pytest.mark.parametrize("road", list(Road))
def test_what_was_heard_before_the_silence_says_nothing_of_what_broke(road: Road) -> None:
    one = track()
    one.their_interval = 10.0
    one.note_heard(road, 100.0)
    assert one.hears(road, 101.0)
    one.way(road).sent(1, 102.0)
    assert one.hears(road, 102.0)  # its answer is on its way
    one.way(road).silence = 1
    assert not one.hears(road, 103.0)
    one.note_heard(road, 103.5)
    assert one.hears(road, 104.0)
