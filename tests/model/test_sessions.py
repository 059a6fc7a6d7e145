"""Sessions over time: who is sent to in vain, who sends from elsewhere, and whose handshake is yet to come."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flanpy.model.objects import Key
from flanpy.model.sessions import AHEAD_S, QUIET_S, Asking, faults, follow
from flanpy.model.wireguard import STALE_S, SeenPeer, WgPeer, written

WALL = 1_700_000_000
PEER = WgPeer(
    "flannel-wg", written(bytes([9] * 32)), IPv4Address("192.0.2.11"), 51820, (IPv4Network("10.50.11.0/24"),)
)
NEW = SeenPeer(PEER, has_endpoint=True)


def _after(*dumps: tuple[float, SeenPeer]) -> Asking:
    known: dict[Key, Asking] = {}
    for now, seen in dumps:
        known = dict(follow(known, [seen], now))
    (one,) = known.values()
    return one


def _asked(
    start: int, *, sent: int = 0, received: int = 0, handshake: int = 0
) -> list[tuple[float, SeenPeer]]:
    """Four dumps, five seconds apart, each with one handshake more that was sent."""
    seen = replace(NEW, received=received, handshake=handshake)
    return [(start + 5 * step, replace(seen, sent=sent + 148 * (step + 1))) for step in range(4)]


def test_blocked_port_of_a_new_peer_is_a_fault_once_its_time_is_over() -> None:
    dumps = _asked(10)
    assert not _after(*dumps[:3]).is_in_vain
    asking = _after(*dumps)
    assert asking.is_in_vain
    assert faults([asking], (), WALL).overdue == (PEER,)


def test_session_that_lives_is_not_overdue_and_is_once_it_is_stale() -> None:
    shaken = replace(NEW, received=92, sent=148, handshake=WALL - 60)
    asking = _after((5, shaken), *_asked(10, sent=148, received=92, handshake=WALL - 60))
    assert asking.is_in_vain
    assert faults([asking], (), WALL).overdue == ()
    assert faults([asking], (), WALL - 60 + STALE_S + 1).overdue == (PEER,)


@pytest.mark.parametrize("answer", [{"received": 1}, {"handshake": WALL}], ids=["a byte", "a handshake"])
def test_any_answer_ends_the_waiting(answer: dict[str, int]) -> None:
    dumps = _asked(10)
    assert not _after(*dumps, (30, replace(dumps[-1][1], **answer))).is_in_vain  # type: ignore[arg-type]


def test_idle_pair_is_no_fault_however_long_and_who_gave_up_is_forgotten() -> None:
    assert _after((0, NEW), (3600, NEW)).first is None
    (*_, (at, seen)) = dumps = _asked(10)
    assert _after(*dumps, (at + QUIET_S - 1, seen)).is_in_vain
    assert not _after(*dumps, (at + QUIET_S, seen)).is_in_vain


def test_one_keepalive_without_an_answer_is_no_fault() -> None:
    before = replace(NEW, received=500, sent=500, handshake=WALL - 200)
    sent = replace(before, sent=532)
    assert not _after((0, before), (5, sent), (10, sent), (25, sent)).is_in_vain


@given(st.lists(st.tuples(st.integers(1, 10), st.integers(0, 2000), st.integers(1, 2000)), max_size=40))
def test_who_answers_in_every_reading_is_never_a_fault(steps: list[tuple[int, int, int]]) -> None:
    now, seen, dumps = 0.0, NEW, [(0.0, NEW)]
    for passed, sent, received in steps:
        now += passed
        seen = replace(seen, sent=seen.sent + sent, received=seen.received + received)
        dumps.append((now, seen))
    assert _after(*dumps).first is None


def test_endpoint_counts_while_the_session_lives() -> None:
    alive, dead = (replace(NEW, handshake=WALL - age) for age in (STALE_S, STALE_S + 1))
    assert faults([], [alive, dead], WALL).strayed == (PEER,)


def test_handshake_that_is_yet_to_come_tells_of_the_clock_and_hides_no_silence() -> None:
    later = WALL + int(AHEAD_S) + 1
    shaken = replace(NEW, received=92, sent=148, handshake=later)
    asking = _after((5, shaken), *_asked(10, sent=148, received=92, handshake=later))
    found = faults([asking], (), WALL)
    assert (found.ahead, found.overdue, found.latest) == ((PEER,), (PEER,), later)
    assert faults([asking], (), WALL + 1).ahead == ()


def test_peers_are_told_apart_and_one_that_is_gone_is_forgotten() -> None:
    other = replace(NEW, peer=replace(PEER, public_key=written(bytes([8] * 32))))
    known: dict[Key, Asking] = {}
    for now, seen in _asked(10):
        known = dict(follow(known, [seen, other], now))
    assert [one.is_in_vain for one in known.values()] == [True, False]
    assert list(follow(known, [other], 30)) == [other.peer.key]
