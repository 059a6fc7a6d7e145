"""Retries between the rounds: which peers are probed again, in which order, and until when."""

from __future__ import annotations

import pytest

from flanpy.model.reach import Layer, Reach
from flanpy.probe.asking import BOTH, Ask
from flanpy.probe.retries import AT_ONCE, GIVEN_UP, is_retried, is_undecided, retried
from flanpy.probe.track import PATIENCE, PATIENCE_WITH_LOSSY, Track
from tests.probe.worlds import track


def silent(number: int, silence: int) -> Track:
    """A peer that answered once and has left so many askings over the overlay without an answer."""
    one = track(number)
    answer(one, Layer.OVERLAY)
    one.overlay.silence = silence
    one.judge()
    return one


def answer(one: Track, layer: Layer, number: int = 1) -> None:
    one.way(layer).sent(number, 1.0)
    one.way(layer).answered(number, 0.001, 1.0)


def test_no_peer_is_retried_while_all_answer() -> None:
    assert retried([silent(n, 0) for n in range(1, 30)]) == []


def test_one_lost_echo_makes_a_suspect_and_an_answer_frees_it() -> None:
    one = silent(1, 1)
    assert retried([one]) == [one]
    answer(one, Layer.OVERLAY, 2)
    assert retried([one]) == []


def test_whole_outage_is_retried_few_at_a_time_and_the_almost_decided_first() -> None:
    tracks = [silent(n, 1 + n % 6) for n in range(1, 1001)]
    found = retried(tracks)
    assert len(found) == AT_ONCE
    assert {one.overlay.silence for one in found} == {PATIENCE - 1}
    assert all(one.reach is not Reach.UNREACHABLE for one in found)


def test_peer_out_of_reach_is_retried_a_while_and_then_left_to_the_rounds() -> None:
    assert is_retried(silent(1, PATIENCE))
    assert not is_undecided(silent(1, PATIENCE))
    assert not is_retried(silent(1, GIVEN_UP))


def test_underlay_that_lost_one_echo_is_asked_again_once_and_silence_that_stays_is_no_news() -> None:
    one = silent(1, 0)
    one.underlay.silence = 1
    assert is_retried(one)
    one.underlay.silence = 2
    assert not is_retried(one)
    one.underlay.silence, one.tcp = 1, True
    assert not is_retried(one)


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


@pytest.mark.parametrize("layer", list(Layer))
def test_what_was_heard_before_the_silence_says_nothing_of_what_broke(layer: Layer) -> None:
    one = track()
    one.their_interval = 10.0
    one.note_heard(layer, 100.0)
    assert one.hears(layer, 101.0)
    one.way(layer).sent(1, 102.0)
    assert one.hears(layer, 102.0)  # its answer is on its way
    one.way(layer).silence = 1
    assert not one.hears(layer, 103.0)
    one.note_heard(layer, 103.5)
    assert one.hears(layer, 104.0)
