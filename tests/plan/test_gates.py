"""Each gate before a deletion, with proof that its absence would delete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from flanpy.model.border import EtcdAddress
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.objects import Route
from flanpy.model.ops import Delete, Put
from flanpy.model.world import World
from flanpy.plan import decision as decision_module
from flanpy.plan.decision import Decision
from flanpy.plan.gates import BRAKE_COUNT, Gate, Hold, closed_gate
from tests.plan.pipeline import Run, agree, desired_of
from tests.states import DIRECT, DUAL, FACTS, POLICY, V4, as_backend, crowd, lease, view, world


def standing(before: World) -> Run:
    run = Run()
    run.step(before)
    return run


def deletes(decision: Decision) -> list[Delete]:
    return [op for op in decision.ops if isinstance(op, Delete)]


GATES = {
    Gate.LEASES_NOT_LISTED: replace(crowd(1), view=replace(view([lease(0), lease(1)]), listings=0)),
    Gate.OWN_LEASE_UNCONFIRMED: replace(crowd(1), own_confirmed=False),
}


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_closed_gate_holds_the_deletion_of_a_peer(gate: Gate) -> None:
    run = standing(crowd(3))
    decision = run.step(GATES[gate])
    assert decision.gate is gate
    assert not deletes(decision)
    assert decision.difference.deletes
    assert run.standing.objects == desired_of(crowd(3))


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_without_the_gate_the_peer_would_be_deleted(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterpart of the test above: it would pass for no reason if nothing were to be deleted."""
    monkeypatch.setattr(decision_module, "closed_gate", lambda *_, **__: None)
    run = standing(crowd(3))
    assert deletes(run.step(GATES[gate]))
    assert run.standing.objects != desired_of(crowd(3))


@pytest.mark.parametrize(
    "shut",
    [
        replace(crowd(1), network=None),
        replace(crowd(1), own=None, own_confirmed=False),
        replace(crowd(1), facts=replace(FACTS, underlay=None)),
    ],
    ids=["network unknown", "no lease", "no underlay"],
)
def test_what_cannot_be_planned_is_not_taken_for_nothing_desired(shut: World) -> None:
    run = standing(crowd(3))
    decision = run.step(shut)
    assert decision.desired is None
    assert decision.ops == ()
    assert agree(run.standing.objects, desired_of(crowd(3)))


def test_each_gate_names_itself_in_the_order_of_start_up() -> None:
    ready = crowd(1)
    assert closed_gate(ready, trusted=True) is None
    assert closed_gate(ready, trusted=False) is Gate.KERNEL_NOT_READ
    assert closed_gate(World(POLICY), trusted=True) is Gate.LEASES_NOT_LISTED
    assert closed_gate(replace(ready, network=None), trusted=True) is Gate.NETWORK_UNKNOWN
    assert closed_gate(replace(ready, own_confirmed=False), trusted=True) is Gate.OWN_LEASE_UNCONFIRMED


def test_p24_stale_view_closes_no_gate_and_deletes_nothing() -> None:
    run = standing(crowd(3))
    decision = run.step(replace(crowd(3), view=replace(crowd(3).view, stale=True)))
    assert decision.gate is None
    assert decision.ops == ()


def test_link_that_needs_a_new_device_is_left_while_a_gate_is_closed() -> None:
    run = standing(crowd(2))
    before = dict(run.standing.objects)
    port = replace(V4, backend_options={"port": 4789})
    run.settle(replace(crowd(2), network=port, own_confirmed=False))
    assert run.standing.objects == before
    run.settle(replace(crowd(2), network=port))
    assert run.standing.objects == desired_of(replace(crowd(2), network=port))


def test_neighbours_that_may_not_go_yet_outlive_a_change_of_our_mac() -> None:
    run = standing(crowd(3))
    unlisted = replace(crowd(0), own=lease(0, mac="02:00:00:00:bb:00"), view=LeaseView())
    run.step(unlisted)
    assert {key for key in run.standing.objects if key[0] == "neighbour"} == {
        key for key in (desired_of(crowd(3)) or {}) if key[0] == "neighbour"
    }
    assert run.failures == []


# The brake


def peers(*numbers: int) -> list[Lease]:
    return [lease(0), *(lease(number) for number in numbers)]


ALL, HALF = range(1, 31), range(1, 11)


def after(
    leases: Sequence[Lease],
    *,
    listings: int = 1,
    stale: bool = False,
    deletions: dict[str, int] | None = None,
) -> World:
    return replace(world(), view=view(leases, listings=listings, stale=stale, deletions=deletions or {}))


def routes(run: Run) -> int:
    return sum(isinstance(obj, Route) for obj in run.standing.objects.values())


def test_p16_mass_vanishing_without_events_is_held() -> None:
    run = standing(crowd(30))
    decision = run.step(after(peers(*HALF)))
    assert decision.hold is not None
    assert (decision.hold.peers, decision.hold.present) == (20, 30)
    assert not deletes(decision)
    assert routes(run) == 30


def test_p16_without_the_brake_they_would_be_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision_module, "brake", lambda *_, **__: None)
    run = standing(crowd(30))
    run.step(after(peers(*HALF)))
    assert routes(run) == 10


def test_p16_second_listing_that_agrees_releases_the_hold() -> None:
    run = standing(crowd(30))
    run.step(after(peers(*HALF)))
    decision = run.step(after(peers(*HALF), listings=2))
    assert decision.hold is None
    assert routes(run) == 10


def test_p16_second_listing_in_which_they_are_back_deletes_nothing() -> None:
    run = standing(crowd(30))
    run.step(after(peers(*HALF)))
    decision = run.step(after(peers(*ALL), listings=2))
    assert decision.hold is None
    assert decision.ops == ()
    assert routes(run) == 30


def test_p16_stale_listing_does_not_release_the_hold() -> None:
    run = standing(crowd(30))
    run.step(after(peers(*HALF)))
    assert run.step(after(peers(*HALF), listings=2, stale=True)).hold is not None
    assert routes(run) == 30


def test_p16_same_listing_seen_again_does_not_release_the_hold() -> None:
    run = standing(crowd(30))
    for _ in range(3):
        run.read_back()
        assert run.step(after(peers(*HALF))).hold is not None
    assert routes(run) == 30


def test_p16_delete_events_one_by_one_are_not_held() -> None:
    run = standing(crowd(30))
    deletions = {str(lease(number).key): 100 + number for number in ALL if number not in HALF}
    decision = run.step(after(peers(*HALF), deletions=deletions))
    assert decision.hold is None
    assert routes(run) == 10


def test_p16_delete_by_prefix_in_one_revision_is_held() -> None:
    run = standing(crowd(30))
    deletions = {str(lease(number).key): 100 for number in ALL}
    assert run.step(after(peers(), deletions=deletions)).hold is not None
    assert routes(run) == 30


@pytest.mark.parametrize(
    ("present", "gone", "held"), [(10, 10, False), (11, 11, True), (22, 11, False), (21, 11, True)]
)
def test_p16_brake_takes_more_than_half_and_more_than_ten(present: int, gone: int, *, held: bool) -> None:
    assert BRAKE_COUNT == 10
    run = standing(crowd(present))
    decision = run.step(after(peers(*range(gone + 1, present + 1))))
    assert (decision.hold is not None) is held


def test_p16_dual_stack_peers_are_counted_once() -> None:
    run = standing(crowd(10, DUAL))
    assert run.step(world(DUAL)).hold is None
    run = standing(crowd(11, DUAL))
    hold = run.step(world(DUAL)).hold
    assert hold is not None
    assert (hold.peers, hold.present) == (11, 11)


def test_p16_brake_never_blocks_puts() -> None:
    run = standing(crowd(30))
    moved_peer = lease(1, public="192.0.2.250")
    decision = run.step(after([lease(0), moved_peer, lease(40)]))
    assert decision.hold is not None
    assert any(isinstance(op, Put) for op in decision.ops)
    assert set((desired_of(after([lease(0), moved_peer, lease(40)])) or {}).items()) <= set(
        run.standing.objects.items()
    )


def test_p16_direct_routes_count_as_peers() -> None:
    run = standing(crowd(30, DIRECT))
    assert run.step(replace(after(peers(*HALF)), network=DIRECT)).hold is not None
    assert routes(run) == 30


def test_p16_hold_outlives_passes_in_which_nothing_can_be_planned() -> None:
    run = standing(crowd(30))
    hold = run.step(after(peers(*HALF))).hold
    run.step(replace(after(peers(*HALF)), network=None))
    assert run.hold == hold


def test_p16_brake_lets_the_device_of_a_former_network_go() -> None:
    run = standing(crowd(30))
    other = replace(V4, backend_options={"vni": 7})
    decision = run.step(replace(after(peers(*HALF)), network=other))
    assert Delete((desired_of(crowd(30)) or {})["link", "flannel.1"]) in decision.ops
    assert run.failures == []


def test_p25_listing_of_an_etcd_that_lost_data_releases_nobody_until_a_second_agrees() -> None:
    run = standing(crowd(3))
    lost = after(peers(1))
    doubtful = replace(lost, view=replace(lost.view, listings=2, rewound=2))
    assert run.step(doubtful).hold == Hold(2, 3, 2)
    assert routes(run) == 3
    assert run.step(replace(lost, view=replace(lost.view, listings=3, rewound=2))).hold is None
    assert routes(run) == 1


def test_p25_etcd_that_loses_data_twice_is_doubted_twice() -> None:
    run = standing(crowd(3))
    lost = after(peers(1))
    run.step(replace(lost, view=replace(lost.view, listings=2, rewound=2)))
    assert run.step(replace(lost, view=replace(lost.view, listings=3, rewound=3))).hold is not None
    assert routes(run) == 3


def test_udp_peer_with_a_route_and_a_place_in_the_table_is_one_peer_to_the_brake() -> None:
    def per_peer(hosts: int) -> World:
        etcd = (EtcdAddress("http://etcd:2379", IPv4Address("10.50.250.1")),)
        return as_backend("udp", replace(crowd(hosts), etcd=etcd))

    run = standing(per_peer(15))
    narrow = [obj for obj in run.standing.objects.values() if isinstance(obj, Route)]
    assert len(narrow) == 15, "a route for each peer"
    decision = run.step(per_peer(6))
    assert decision.hold is None
    assert run.standing.objects == desired_of(per_peer(6))
    run = standing(per_peer(25))
    assert run.step(per_peer(6)).hold == Hold(19, 25, 1)
