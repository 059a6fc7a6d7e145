"""Events: a bounded ring in order, in which many alike are one, and what happened between two snapshots."""

from __future__ import annotations

import sys
from dataclasses import replace
from ipaddress import IPv4Address
from types import MappingProxyType

import pytest

from flanpy.model.address import Family, Mac
from flanpy.model.event import WHOLE, Event, EventKind, History
from flanpy.model.lease import Lease
from flanpy.model.objects import HostSysctl, LinkFeature, LinkSysctl, OtherLink, Route
from flanpy.model.ops import Delete, Op, Put
from flanpy.model.reach import Diagnosis, PeerReach, Reach, ReachReport, Trouble
from flanpy.plan.host_settings import FORWARD4, FORWARD6
from flanpy.status.board import StatusBoard
from flanpy.status.events import ALIKE_WITHIN_S, EACH_UP_TO, FLAP_WITHIN_S, KEPT_S, SIZE, EventRing, Happening
from flanpy.status.happened import changed_attributes
from flanpy.status.story import sentence
from tests.fakes.clock import FakeClock
from tests.states import lease, view
from tests.status.passes import NOW, OWN, TWO_PEERS, WELL, desired, link, passed

K = EventKind


# The ring


def _filled(*happenings: Happening, at: float = NOW) -> EventRing:
    ring = EventRing()
    for one in happenings:
        ring.add([one], at)
    return ring


def _repair(number: int) -> Happening:
    return Happening(K.REPAIRED, "route", f"route {number}")


def test_ring_keeps_the_newest_and_forgets_the_oldest() -> None:
    ring = _filled(*(_repair(number) for number in range(SIZE + 3)))
    kept = ring.after()
    assert len(kept) == SIZE
    assert [kept[0].why, kept[-1].why] == ["route 3", f"route {SIZE + 2}"]
    assert ring.newest == kept[-1].number == SIZE + 3


def test_reader_that_goes_on_after_a_number_gets_every_later_event_once() -> None:
    ring = _filled(_repair(1), _repair(2))
    seen = ring.newest
    ring.add([_repair(3)], NOW)
    assert [event.why for event in ring.after(seen)] == ["route 3"]
    assert ring.after(ring.newest) == ()
    assert ring.after(10_000) == ()


def test_what_repeats_is_one_event_that_counts_and_comes_again_to_readers() -> None:
    ring = _filled(_repair(1), _repair(2))
    seen = ring.newest
    ring.add([replace(_repair(1), count=4)], NOW + ALIKE_WITHIN_S)
    again = Event(seen + 1, NOW + ALIKE_WITHIN_S, K.REPAIRED, "route", "route 1", 5, times=2, first_at=NOW)
    assert ring.after(seen) == (again,), "five objects on two occasions"
    assert [event.why for event in ring.after()] == ["route 2", "route 1"]
    ring.add([_repair(1)], NOW + 3 * ALIKE_WITHIN_S)
    assert [event.count for event in ring.after()] == [1, 5, 1], "what was long ago is another event"


def test_peers_that_come_one_after_the_other_become_one_event() -> None:
    ring = _filled(*(Happening(K.PEER_JOINED, f"node-{number}") for number in range(1000)))
    kept = ring.after()
    assert len(kept) == EACH_UP_TO
    assert sum(event.count for event in kept) == 1000
    assert (kept[-1].what, kept[-1].why) == (f"{1001 - EACH_UP_TO} peers", "the last: node-999")


# What happened


@pytest.fixture
def board() -> StatusBoard:
    board = StatusBoard(FakeClock(wall=NOW))
    board.note(own=WELL.own, last=WELL.last, store=WELL.store, network=WELL.network)
    return board


def _told(board: StatusBoard, after: int, *kinds: EventKind) -> list[tuple[EventKind, str, str, int]]:
    found = [(one.kind, one.what, one.why, one.count) for one in board.events.after(after)]
    return [one for one in found if one[0] in kinds]


def test_start_tells_of_the_lease_the_peers_and_the_phase(board: StatusBoard) -> None:
    assert _told(board, 0, K.LEASE_CHANGED, K.PEER_JOINED) == [
        (K.LEASE_CHANGED, "10.50.10.0-24", "from etcd", 1),
        (K.PEER_JOINED, "node-1 10.50.11.0-24", "192.0.2.11", 1),
        (K.PEER_JOINED, "node-2 10.50.12.0-24", "192.0.2.12", 1),
    ]


def test_transitions_become_events_with_the_reason_and_the_root_cause(board: StatusBoard) -> None:
    board.note(subnet_file="written")
    seen = board.events.newest
    board.note(subnet_file="", subnet_file_error="disk full")
    assert _told(board, seen, *K) == [
        (K.CONDITION_RAISED, "SubnetFileWritten", "WriteFailed: disk full", 1),
        (K.PHASE_CHANGED, "DEGRADED", "SubnetFileWritten WriteFailed", 2),
    ]
    board.note(subnet_file="written", subnet_file_error="")
    ended = board.events.after(seen + 2)
    assert [(one.what, one.lasts, one.times) for one in ended] == [
        ("SubnetFileWritten", False, 1),
        ("DEGRADED", False, 2),
    ], "the same rows tell the end"


def test_repairs_name_the_object_what_was_done_and_what_made_us_look(board: StatusBoard) -> None:
    seen = board.events.newest
    routes = [obj for obj in desired().values() if isinstance(obj, Route)]
    board.note_pass(passed(ops=[Put(route) for route in routes], repairs={"route": 2}, resync="link"))
    ((_, what, why, count),) = _told(board, seen, K.REPAIRED)
    assert (what, count) == ("route", 2)
    assert why.startswith("link: ip route add 10.50.11.0/24 ")
    assert "10.50.12.0/24" in why


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        (
            Put(HostSysctl("net.ipv4.ip_forward", "1"), HostSysctl("net.ipv4.ip_forward", "0")),
            ["net.ipv4.ip_forward"],
        ),
        (Put(LinkSysctl(Family.IPV4, "flannel.1", "rp_filter", "2")), ["rp_filter"]),
        (Put(LinkFeature("flannel.1", "tx-checksum-ip-generic", enabled=False)), ["tx-checksum-ip-generic"]),
        (Put(link(), replace(link(), mac=Mac.parse("02:00:00:00:00:99"))), ["mac"]),
        (Put(link(), replace(link(), mac=Mac.parse("02:00:00:00:00:99"), mtu=1400)), ["mac", "mtu"]),
        (Put(link()), [WHOLE]),
        (Put(link(), OtherLink("flannel.1", "bridge")), [WHOLE]),
        (Delete(link()), [WHOLE]),
    ],
)
def test_repair_names_the_setting_or_the_attributes_of_a_link(op: Op, attributes: list[str]) -> None:
    assert sorted(changed_attributes(op)) == attributes


def test_event_of_a_repair_has_the_attributes_of_all_its_objects(board: StatusBoard) -> None:
    seen = board.events.newest
    ops = [Put(HostSysctl(name, "1")) for name in (FORWARD4, FORWARD6)]
    board.note_pass(passed(ops=ops, repairs={"sysctl": 2}, resync="sysctl"))
    (event,) = board.events.after(seen)
    assert event.attributes == (FORWARD4, FORWARD6)


def test_a_thousand_repairs_make_one_short_event(board: StatusBoard) -> None:
    seen = board.events.newest
    route = next(obj for obj in desired().values() if isinstance(obj, Route))
    board.note_pass(passed(ops=[Put(route)] * 1000, repairs={"route": 1000}, resync="route"))
    ((_, _, why, count),) = _told(board, seen, K.REPAIRED)
    assert count == 1000
    assert why.endswith("and 997 more")
    assert len(why) < 500


def test_peer_that_changes_or_leaves_is_told_with_what_changed(board: StatusBoard) -> None:
    seen = board.events.newest
    moved = replace(lease(1), record=replace(lease(1).record, public_ip=IPv4Address("192.0.2.99")))
    board.note_pass(passed(replace(TWO_PEERS, view=view([OWN, moved]))))
    assert _told(board, seen, K.PEER_CHANGED, K.PEER_LEFT, K.PEER_JOINED) == [
        (K.PEER_LEFT, "node-2 10.50.12.0-24", "its lease is gone", 1),
        (K.PEER_CHANGED, "node-1 10.50.11.0-24", "public IP 192.0.2.11 -> 192.0.2.99", 1),
    ]


def test_our_own_lease_is_no_peer_even_before_it_is_known_to_be_ours(board: StatusBoard) -> None:
    seen = board.events.newest
    unknown = replace(
        TWO_PEERS, own=None, view=view([lease(9, node_id=TWO_PEERS.policy.node_id), lease(1), lease(2)])
    )
    board.note_pass(replace(passed(), world=unknown))
    assert _told(board, seen, K.PEER_JOINED, K.PEER_LEFT) == []


def test_lease_that_was_only_renewed_is_no_event(board: StatusBoard) -> None:
    seen = board.events.newest
    renewed = [replace(lease(number), mod_revision=99, lease_id=7) for number in (1, 2)]
    board.note_pass(passed(replace(TWO_PEERS, view=view([OWN, *renewed]))))
    assert _told(board, seen, K.PEER_CHANGED, K.PEER_LEFT, K.PEER_JOINED) == []


def test_another_token_of_a_peer_is_no_event(board: StatusBoard) -> None:
    seen = board.events.newest
    updated = [replace(lease(n), record=replace(lease(n).record, mesh_token="5ec2e7")) for n in (1, 2)]
    board.note_pass(passed(replace(TWO_PEERS, view=view([OWN, *updated]))))
    assert _told(board, seen, K.PEER_CHANGED, K.PEER_LEFT, K.PEER_JOINED) == []


def _crowd(count: int) -> MappingProxyType[str, Lease]:
    """So many leases, told apart by their text alone."""
    return MappingProxyType({f"peer {number}": lease(1) for number in range(count)})


def test_a_thousand_peers_at_once_are_one_event_and_take_little_memory(board: StatusBoard) -> None:
    seen = board.events.newest
    crowd = replace(TWO_PEERS.view, leases=_crowd(1000))
    board.note_pass(replace(passed(), world=replace(TWO_PEERS, view=crowd)))
    ((_, what, why, count),) = _told(board, seen, K.PEER_JOINED)
    assert (what, count) == ("1000 peers", 1000)
    assert sys.getsizeof(why) < 300


# Reach


def _reach(number: int, reach: Reach, trouble: Trouble = Trouble.NONE) -> PeerReach:
    of = lease(number)
    return PeerReach(of.key, of.record.node_id, None, None, reach, Diagnosis(trouble, "8472 is silent"))


def _report(*peers: PeerReach) -> ReachReport:
    return ReachReport({peer.key: peer for peer in peers}, of=len(peers))


def test_peer_out_of_reach_and_back_is_told_once_each(board: StatusBoard) -> None:
    kinds = (K.PEER_UNREACHABLE, K.PEER_REACHABLE)
    board.note(reach=_report(_reach(1, Reach.REACHABLE), _reach(2, Reach.REACHABLE)))
    seen = board.events.newest
    lost = _reach(2, Reach.UNREACHABLE, Trouble.PORT_BLOCKED)
    board.note(reach=_report(_reach(1, Reach.REACHABLE), lost))
    board.note(reach=_report(_reach(1, Reach.REACHABLE), replace(lost, changed_at=5.0)))
    assert _told(board, seen, *kinds) == [(K.PEER_UNREACHABLE, "node-2", "PortBlocked: 8472 is silent", 1)]
    seen = board.events.newest
    board.note(
        reach=_report(_reach(1, Reach.REACHABLE), replace(lost, diagnosis=Diagnosis(Trouble.PEER_DOWN)))
    )
    board.note(reach=_report(_reach(1, Reach.REACHABLE), _reach(2, Reach.LOSSY)))
    assert _told(board, seen, *kinds) == [(K.PEER_UNREACHABLE, "node-2", "PeerDown", 1)]
    (row,) = [one for one in board.events.after() if one.kind in kinds]
    assert not row.lasts, "a lossy peer is reached"
    assert row.reasons == ("PortBlocked", "PeerDown")


# Spells


def _row_of(board: StatusBoard, kind: EventKind) -> Event:
    (row,) = [one for one in board.events.after() if one.kind is kind]
    return row


def _begun(history: History = History(), *, at: float = NOW) -> tuple[StatusBoard, FakeClock]:  # noqa: B008
    clock = FakeClock(wall=at)
    board = StatusBoard(clock)
    board.begin(history, version="1.2")
    return board, clock


def _get_ready(board: StatusBoard) -> None:
    board.note(own=WELL.own, last=WELL.last, store=WELL.store, network=WELL.network, subnet_file="written")


@pytest.mark.asyncio
async def test_start_is_one_row_with_the_time_until_ready() -> None:
    board, clock = _begun()
    await clock.advance(0.9)
    _get_ready(board)
    told = [
        one for one in board.events.after() if one.kind in {K.STARTED, K.PHASE_CHANGED, K.CONDITION_RAISED}
    ]
    assert [sentence(one) for one in told if one.kind is K.STARTED] == [
        "flanpyd 1.2 started; ready after 0.9 s"
    ]
    assert K.PHASE_CHANGED not in {one.kind for one in told} or board.snapshot.phase.value == "DEGRADED"


@pytest.mark.asyncio
async def test_trouble_of_a_start_is_told_and_the_start_lasts_until_it_is_over() -> None:
    board, clock = _begun()
    board.note(own=WELL.own, last=WELL.last, store=WELL.store, network=WELL.network, subnet_file_error="full")
    row = _row_of(board, K.STARTED)
    assert (row.lasts, sentence(row)) == (True, "flanpyd 1.2 started; not ready yet")
    trouble = next(one for one in board.events.after() if one.what == "SubnetFileWritten")
    await clock.advance(70.0)
    board.note(subnet_file="written", subnet_file_error="")
    assert sentence(_row_of(board, K.STARTED)) == "flanpyd 1.2 started; ready after 1 min 10 s"
    ended = next(one for one in board.events.after() if one.what == "SubnetFileWritten")
    assert (trouble.lasts, ended.lasts, ended.first_at, ended.at) == (True, False, NOW, NOW + 70.0)


async def _flap(board: StatusBoard, clock: FakeClock, away: float, *, pause: float = 60.0) -> None:
    lost = _reach(2, Reach.UNREACHABLE, Trouble.PORT_BLOCKED)
    board.note(reach=_report(_reach(1, Reach.REACHABLE), lost))
    await clock.advance(away)
    board.note(reach=_report(_reach(1, Reach.REACHABLE), _reach(2, Reach.REACHABLE)))
    await clock.advance(pause)


@pytest.mark.asyncio
async def test_peer_that_comes_and_goes_is_one_row_with_both_times_and_what_it_lasted(
    board: StatusBoard,
) -> None:
    clock = board._clock
    assert isinstance(clock, FakeClock)
    for _ in range(5):
        await _flap(board, clock, 10.0)
    row = _row_of(board, K.PEER_UNREACHABLE)
    assert (row.first_at, row.at, row.times, row.lasts) == (NOW, NOW + 4 * 70.0 + 10.0, 5, False)
    assert sentence(row) == (
        "node-2 stopped answering 5 times, 50 s in all; at last back after 10 s: PortBlocked: 8472 is silent"
    )
    await clock.advance(FLAP_WITHIN_S)
    await _flap(board, clock, 10.0)
    assert len([one for one in board.events.after() if one.kind is K.PEER_UNREACHABLE]) == 2, "an hour later"


def test_peer_that_leaves_while_it_is_away_ends_its_row(board: StatusBoard) -> None:
    board.note(reach=_report(_reach(1, Reach.REACHABLE), _reach(2, Reach.UNREACHABLE, Trouble.PEER_DOWN)))
    assert _row_of(board, K.PEER_UNREACHABLE).lasts
    board.note(reach=_report(_reach(1, Reach.REACHABLE)))
    assert _row_of(board, K.PEER_UNREACHABLE).lasts, "its lease stands: nobody knows"
    board.note_pass(passed(replace(TWO_PEERS, view=view([OWN, lease(1)]))))
    assert not _row_of(board, K.PEER_UNREACHABLE).lasts


def test_peers_of_a_crowd_are_told_as_one_when_they_come_back(board: StatusBoard) -> None:
    numbers = range(1, EACH_UP_TO + 3)
    board.note(reach=_report(*(_reach(number, Reach.UNREACHABLE, Trouble.PEER_DOWN) for number in numbers)))
    row = _row_of(board, K.PEER_UNREACHABLE)
    assert (row.what, row.spell, len(row.about), row.unlisted) == ("10 peers", None, 10, 0)
    board.note(reach=_report(*(_reach(number, Reach.REACHABLE) for number in numbers)))
    assert sentence(_row_of(board, K.PEER_REACHABLE)).startswith("10 peers answered again: ")


# Over a restart


@pytest.mark.asyncio
async def test_history_goes_on_over_a_restart_with_new_numbers() -> None:
    board, clock = _begun()
    _get_ready(board)
    await _flap(board, clock, 10.0)
    board.note(stopping=True)
    before = board.events.history()
    again, _ = _begun(before, at=clock.wall() + 30.0)
    assert (again.events.epoch, again.events.newest > before.newest) == (before.epoch, True)
    assert _row_of(again, K.PEER_UNREACHABLE).times == 1
    stop = next(one for one in again.events.after() if one.what == "STOPPING")
    assert sentence(stop) == "this host was STOPPING; over after 30 s"
    start = _row_of(again, K.STARTED)
    assert (start.times, start.first_at, start.lasts) == (2, NOW, True), "two starts in a minute are one row"


@pytest.mark.asyncio
async def test_spell_of_an_earlier_run_ends_only_when_it_is_known_to_be_over() -> None:
    board, _ = _begun()
    _get_ready(board)
    board.note(reach=_report(_reach(1, Reach.REACHABLE), _reach(2, Reach.UNREACHABLE, Trouble.PEER_DOWN)))
    again, later = _begun(board.events.history(), at=NOW + 20.0)
    _get_ready(again)
    assert _row_of(again, K.PEER_UNREACHABLE).lasts, "nothing was measured yet"
    again.note(reach=_report(_reach(1, Reach.UNKNOWN), _reach(2, Reach.UNKNOWN)))
    assert _row_of(again, K.PEER_UNREACHABLE).lasts
    await later.advance(20.0)
    again.note(reach=_report(_reach(1, Reach.REACHABLE), _reach(2, Reach.REACHABLE)))
    row = _row_of(again, K.PEER_UNREACHABLE)
    assert (row.lasts, row.times) == (False, 1)
    assert sentence(row) == "node-2 stopped answering; back after 40 s: PeerDown: 8472 is silent"


@pytest.mark.asyncio
async def test_events_are_forgotten_after_a_day_unless_they_last() -> None:
    board, clock = _begun()
    _get_ready(board)
    board.note(reach=_report(_reach(2, Reach.UNREACHABLE, Trouble.PEER_DOWN)))
    await clock.advance(KEPT_S + 1.0)
    board.judge_again()
    assert {one.kind for one in board.events.after() if not one.lasts} == set()
    assert _row_of(board, K.PEER_UNREACHABLE).lasts


def test_news_are_told_to_whoever_saves_them() -> None:
    told: list[int] = []
    ring = EventRing(on_news=lambda: told.append(1))
    ring.add([_repair(1)], NOW)
    ring.add([], NOW)
    assert len(told) == 1
