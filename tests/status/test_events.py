"""Events: a bounded ring in order, in which many alike are one, and what happened between two snapshots."""

from __future__ import annotations

import sys
from dataclasses import replace
from ipaddress import IPv4Address
from types import MappingProxyType

import pytest

from flanpy.model.address import Family, Mac
from flanpy.model.event import WHOLE, Event, EventKind
from flanpy.model.lease import Lease
from flanpy.model.objects import HostSysctl, LinkFeature, LinkSysctl, OtherLink, Route
from flanpy.model.ops import Delete, Op, Put
from flanpy.model.reach import Diagnosis, PeerReach, Reach, ReachReport, Trouble
from flanpy.plan.host_settings import FORWARD4, FORWARD6
from flanpy.status.board import StatusBoard
from flanpy.status.events import ALIKE_WITHIN_S, EACH_UP_TO, SIZE, EventRing, Happening
from flanpy.status.happened import changed_attributes
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
    again = Event(seen + 1, NOW + ALIKE_WITHIN_S, K.REPAIRED, "route", "route 1", 5, times=2)
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
        (K.PHASE_CHANGED, "DEGRADED", "SubnetFileWritten WriteFailed", 1),
    ]
    board.note(subnet_file="written", subnet_file_error="")
    cleared, phase = _told(board, seen + 2, *K)
    assert (cleared[:2], phase[:2]) == (
        (K.CONDITION_CLEARED, "SubnetFileWritten"),
        (K.PHASE_CHANGED, "READY"),
    )


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
    assert _told(board, seen, *kinds) == [
        (K.PEER_UNREACHABLE, "node-2", "PeerDown", 1),
        (K.PEER_REACHABLE, "node-2", "it is lossy now", 1),
    ]
