"""Tracks: how a peer counts as reached, and how the largest packet is found."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flanpy.model.reach import Layer, PathMtu, Reach
from flanpy.probe.track import PATIENCE, ProbedPath, SizeSearch, Track
from flanpy.probe.window import LENGTH
from tests.probe.worlds import target, track


def rounds(one: Track, *answers: bool, start: int = 0) -> None:
    """One probe over the overlay each, answered or not."""
    for number, answered in enumerate(answers, start):
        one.overlay.sent(number, float(number))
        if answered:
            one.overlay.answered(number, 0.001, 1.0)
        else:
            one.overlay.silence += 1
        one.judge()


def reach(one: Track) -> Reach:
    """As it is now; mypy would go on believing what it was."""
    return one.reach


def test_peer_is_unreachable_after_three_silence_and_not_before() -> None:
    one = track()
    rounds(one, True, *[False] * (PATIENCE - 1))
    assert reach(one) is Reach.REACHABLE
    rounds(one, False, start=10)
    assert reach(one) is Reach.UNREACHABLE


def test_peer_is_unknown_until_it_answered_or_was_silent_long_enough() -> None:
    one = track()
    rounds(one, False, False)
    assert reach(one) is Reach.UNKNOWN
    rounds(one, True, start=10)
    assert reach(one) is Reach.REACHABLE


def test_one_answer_ends_an_outage_and_takes_its_losses_along() -> None:
    one = track()
    rounds(one, True, *[False] * 12, True)
    assert reach(one) is Reach.REACHABLE
    assert one.overlay.loss == 0


def test_peer_is_lossy_while_many_probes_are_lost_but_never_so_many_at_once() -> None:
    one = track()
    rounds(one, *[True, False] * 5)
    assert reach(one) is Reach.LOSSY
    rounds(one, *[True] * LENGTH, start=30)
    assert reach(one) is Reach.REACHABLE


def test_late_answer_counts_for_its_own_probe() -> None:
    way = ProbedPath()
    way.sent(1, 0.0)
    way.sent(2, 1.0)
    way.answered(1, 7.0, 1.0)
    assert (way.health().answered, way.loss) == (1, 0.5)


def test_window_is_bounded_and_answers_from_before_it_are_signs_of_life() -> None:
    way = ProbedPath()
    for number in range(LENGTH * 3):
        way.sent(number, float(number))
    way.answered(0, 60.0, 1.0)
    assert (len(way.probes), way.ever, way.loss) == (LENGTH, True, 1.0)


def test_silent_bridge_address_says_nothing_while_the_underlay_answers() -> None:
    one = track(certain=False)
    for number in range(5):
        one.overlay.silence += 1
        one.underlay.sent(number, float(number))
        one.underlay.answered(number, 0.001, 1.0)
        one.judge()
    assert reach(one) is Reach.REACHABLE


@pytest.mark.parametrize("limit", [576, 700, 1280, 1350, 1399, 1449])
def test_largest_size_is_found_to_the_byte_in_a_few_rounds(limit: int) -> None:
    search = SizeSearch(1450)
    for _ in range(6):
        tried = set(search.sizes())
        search.learn({size for size in tried if size <= limit}, tried, small_passes=True)
    assert search.found == PathMtu(limit, 1450)


def test_tcp_is_tried_over_the_overlay_after_two_lost_pings_that_nothing_refused() -> None:
    one = Track.of(target(1), 1)
    assert not one.needs_tcp(Layer.OVERLAY)
    one.overlay.silence = 1
    assert not one.needs_tcp(Layer.OVERLAY), "any packet may be lost"
    one.overlay.silence = 2
    assert one.needs_tcp(Layer.OVERLAY)
    for refusal in ({"errno": 1}, {"refused": "192.0.2.2"}):
        other = Track.of(target(1), 1)
        other.overlay = replace(one.overlay, **refusal)
        assert not other.needs_tcp(Layer.OVERLAY)
    one.overlay.silence, one.mute = 0, PATIENCE
    assert (one.needs_tcp(Layer.OVERLAY), one.ignores_pings) == (True, True)


def test_one_lost_packet_of_full_size_is_no_black_hole() -> None:
    search = SizeSearch(1450)
    search.learn(set(), {1450}, small_passes=True)
    assert search.found.is_whole
    search.learn({1450}, {1450}, small_passes=True)
    assert search.found == PathMtu(1450, 1450)


def test_size_is_not_blamed_while_small_packets_are_lost_too() -> None:
    search = SizeSearch(1450)
    for _ in range(5):
        search.learn(set(), {1450}, small_passes=False)
    assert search.found == PathMtu()


def test_cure_of_a_black_hole_shows_at_the_next_packet_of_full_size() -> None:
    search = SizeSearch(1450)
    for _ in range(4):
        tried = set(search.sizes())
        search.learn({size for size in tried if size <= 1000}, tried, small_passes=True)
    assert not search.found.is_whole
    search.learn(set(search.sizes()), set(search.sizes()), small_passes=True)
    assert search.found == PathMtu(1450, 1450)
