"""Sets of datagrams and what peers tell of them: only beside one that is certainly right does a wrong one count."""

from __future__ import annotations

from itertools import permutations

import pytest

from flanpy.probe.payload import CONVINCED_BY, TRIES, Checked, Make, Piece, payload, read

CONTROL = {1: Make.KERNEL}
REST = {2: Make.CARD, 3: Make.CARD_CUT}
SET = CONTROL | REST


def told(checked: Checked, words: dict[int, bool]) -> list[bool]:
    """A set goes out, as its control lets it, and these words come back; the verdicts in between."""
    checked.begin(dict(CONTROL))
    said = [checked.tell(number, whole=whole) for number, whole in words.items() if number in CONTROL]
    if checked.is_due:
        checked.follow(dict(REST))
        said += [checked.tell(number, whole=whole) for number, whole in words.items() if number in REST]
    return [verdict for verdict in said if verdict is not None]


@pytest.mark.parametrize("order", list(permutations(SET)))
@pytest.mark.parametrize(
    ("whole", "verdict"),
    [({1, 2, 3}, [True]), ({1, 3}, [False]), ({1, 2}, [False]), ({1}, [False]), ({2, 3}, []), (set(), [])],
)
def test_set_is_judged_once_whatever_comes_first(
    order: tuple[int, ...], whole: set[int], verdict: list[bool]
) -> None:
    assert told(Checked(), {number: number in whole for number in order}) == verdict


@pytest.mark.parametrize("lost", [{1}, {1, 2}, {1, 2, 3}, {2, 3}, {3}])
def test_what_never_came_says_nothing(lost: set[int]) -> None:
    """A narrow path loses all of them, an outage some: neither is the card's doing."""
    checked = Checked()
    for _ in range(9):
        assert told(checked, {number: True for number in SET if number not in lost}) == []
    assert not checked.is_convinced
    assert not checked.known


def test_only_sets_in_a_row_convince() -> None:
    checked, bad, good = Checked(), {1: True, 2: False, 3: True}, dict.fromkeys(SET, True)
    states = []
    for words in (bad, good, bad, bad):
        told(checked, words)
        states.append((checked.is_convinced, checked.wants_more))
    assert states == [(False, True), (False, False), (False, True), (True, False)]
    assert checked.corrupted == CONVINCED_BY


def test_peer_that_answers_nothing_is_not_asked_for_ever() -> None:
    checked = Checked()
    for _ in range(TRIES):
        assert checked.wants_more
        checked.begin(dict(CONTROL))
    assert not checked.wants_more


def test_pieces_are_of_one_size_and_say_which_they_are() -> None:
    octets = payload(7, 8, 100, 3)
    assert [read(octets[at : at + 100]) for at in (0, 100, 200)] == [Piece(7, 8, n) for n in range(3)]
    assert len(octets) == 300
    assert (read(octets[1:]), read(b""), read(octets[:12])) == (None, None, None)
