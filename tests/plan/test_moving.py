"""From one backend to another: what is kept for whom, and when it is let go."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address
from itertools import permutations

import pytest

from flanpy.model.lease import Lease, LeaseRecord, LeaseView
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import FdbEntry, Route, VxlanLink
from flanpy.model.ops import Delete, Put
from flanpy.model.world import Former
from flanpy.plan.moving import AHEAD, GRACE, GREETING, KNOWN, Ahead, Moving, Step
from tests.plan.pipeline import Run, agree, desired_of
from tests.states import V4, WORLDS, as_backend, crowd, lease, moving, of_backend, options, view

OLD = crowd(2)
NEW = as_backend("host-gw", OLD)
OWN, ONE, TWO = OLD.view.leases.values()
ONE_NEW, TWO_NEW = [*NEW.view.leases.values()][1:]
ON_THE_WAY = Moving().begun(V4, NEW.network or V4, OWN)


def _of(name: str) -> NetworkConfig:
    return replace(V4, backend_type=name)


def _step(before: LeaseView, after: LeaseView) -> Step:
    return Step(before, after, {**before.leases, **after.leases})


def test_move_begins_with_another_backend_and_remembers_what_our_lease_said() -> None:
    begun = Moving().begun(V4, NEW.network or V4, OWN)
    assert begun == Moving(Former(V4, OWN.record), stands=False)


@pytest.mark.parametrize(
    ("old", "new", "own"),
    [
        (None, _of("host-gw"), OWN),  # the first config
        (V4, _of("host-gw"), None),  # nobody reaches us yet
        (V4, options(V4, directrouting=True), OWN),  # the same backend
        (V4, _of("alloc"), OWN),  # nothing is to be carried any more
        (_of("alloc"), V4, OWN),  # nothing was
    ],
)
def test_nothing_is_kept_where_there_is_nobody_to_keep_it_for(
    old: NetworkConfig | None, new: NetworkConfig, own: Lease | None
) -> None:
    assert Moving().begun(old, new, own) == Moving()


def test_change_of_an_option_does_not_end_a_move() -> None:
    dual_hop = options(NEW.network or V4, whatever=True)
    assert ON_THE_WAY.begun(NEW.network, dual_hop, OWN) == ON_THE_WAY


def test_second_change_before_the_first_was_advertised_keeps_what_peers_know_us_by() -> None:
    assert ON_THE_WAY.begun(NEW.network, _of("udp"), OWN) == ON_THE_WAY
    assert ON_THE_WAY.begun(NEW.network, V4, OWN) == Moving()
    later = replace(ON_THE_WAY, stands=True).begun(NEW.network, _of("udp"), ONE_NEW)
    assert later.former is not None
    assert (later.former.network, later.former.record, later.stands) == (NEW.network, ONE_NEW.record, False)


def test_old_backend_is_kept_while_a_peer_advertises_it_and_a_breath_longer() -> None:
    standing = replace(ON_THE_WAY, stands=True)
    assert standing.after([ONE, TWO_NEW], 100.0) == standing
    idle = standing.after([ONE_NEW, TWO_NEW], 101.0)
    assert (idle.former, idle.pause(101.0)) == (standing.former, GRACE)
    assert idle.after([ONE_NEW, TWO_NEW], 101.0 + GRACE / 2) == idle
    assert idle.after([ONE, TWO_NEW], 102.0) == standing  # it came back: its time starts again
    assert idle.after([ONE_NEW, TWO_NEW], 101.0 + GRACE) == Moving()
    assert idle.pause(102.0 + GRACE) == 0.0, "it is due"
    assert standing.pause(102.0) is None


def test_host_at_rest_has_nothing_to_wait_for() -> None:
    assert Moving().after([ONE, TWO_NEW], 100.0) == Moving()
    assert Moving().users([ONE]) == []
    assert Moving().pause(100.0) is None
    assert Moving().told(OWN) == Moving()


def test_old_backend_is_kept_until_the_new_one_stands_here() -> None:
    assert ON_THE_WAY.after([ONE_NEW, TWO_NEW], 1e9) == ON_THE_WAY


def test_reservation_that_nobody_uses_keeps_nothing() -> None:
    empty = Lease(ONE.key, LeaseRecord(None, node_id="node-1"))
    udp = Moving().begun(_of("udp"), _of("host-gw"), OWN)
    assert udp.users([empty]) == []
    for held in (
        replace(empty, lease_id=7),
        replace(empty, record=LeaseRecord(ONE.record.public_ip)),
        replace(empty, record=LeaseRecord(None, IPv6Address("2001:db8::b"))),
    ):
        assert udp.users([empty, held, ONE]) == [held]


def test_record_of_the_old_backend_is_corrected_by_what_etcd_shows() -> None:
    """At a start the disk knows our subnet but not the MAC that peers have programmed."""
    vague = Moving().begun(V4, _of("host-gw"), replace(OWN, record=replace(OWN.record, backend_data=None)))
    assert vague.told(OWN).former == ON_THE_WAY.former
    assert ON_THE_WAY.told(next(iter(NEW.view.leases.values()))) == ON_THE_WAY
    assert ON_THE_WAY.told(None) == ON_THE_WAY
    assert ON_THE_WAY.told(OWN) is ON_THE_WAY, "nothing new"


def test_peer_ahead_of_our_config_is_shown_as_it_was_until_its_time_is_up() -> None:
    before, after = view([OWN, ONE, TWO]), view([OWN, ONE_NEW, TWO])
    ahead = Ahead().after(_step(before, after), V4, Moving(), 10.0)
    assert ahead.shown(after).leases == before.leases
    assert ahead.pause(10.0) == AHEAD
    assert ahead.after(_step(after, after), V4, Moving(), 10.0 + AHEAD).shown(after) is after


def test_peer_ahead_is_shown_as_it_is_once_our_config_says_so_too() -> None:
    before, after = view([OWN, ONE]), view([OWN, ONE_NEW])
    ahead = Ahead().after(_step(before, after), V4, Moving(), 10.0)
    assert ahead.after(_step(after, after), _of("host-gw"), ON_THE_WAY, 10.1).shown(after) is after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([OWN, ONE], [OWN]),  # it went
        ([OWN], [OWN, ONE_NEW]),  # it was never ours to reach
        ([OWN, ONE], [OWN, replace(ONE, lease_id=9)]),  # renewed
    ],
)
def test_only_a_change_of_backend_makes_a_lease_ahead(before: list[Lease], after: list[Lease]) -> None:
    seen: LeaseView = view(after)
    assert Ahead().after(_step(view(before), seen), V4, Moving(), 0.0).shown(seen) is seen


def test_lease_that_was_of_a_strange_backend_before_is_not_shown_as_it_was() -> None:
    before, after = view([of_backend("udp", ONE)]), view([ONE_NEW])
    assert Ahead().after(_step(before, after), V4, Moving(), 0.0).shown(after) is after


def test_peers_ahead_are_each_shown_for_their_own_time_and_as_they_were_first() -> None:
    before, first = view([ONE, TWO]), view([ONE_NEW, TWO])
    ahead = Ahead().after(_step(before, first), V4, Moving(), 10.0)
    both = view([replace(ONE_NEW, mod_revision=999), TWO_NEW])
    ahead = ahead.after(_step(first, both), V4, Moving(), 11.0)
    assert ahead.shown(both).leases == before.leases
    assert ahead.pause(11.0) == AHEAD - 1.0
    assert ahead.pause(99.0) == 0.0, "it is due"
    ahead = ahead.after(_step(both, both), V4, Moving(), 10.0 + AHEAD)
    assert [*ahead.shown(both).leases.values()] == [next(iter(both.leases.values())), TWO]
    assert ahead.pause(10.0 + AHEAD) == 1.0
    assert ahead.after(_step(both, both), V4, Moving(), 11.0 + AHEAD).pause(11.0 + AHEAD) is None


def test_lease_taken_back_while_it_was_ahead_is_shown_as_it_is() -> None:
    before, after = view([ONE]), view([ONE_NEW])
    ahead = Ahead().after(_step(before, after), V4, Moving(), 0.0)
    assert ahead.after(_step(after, before), V4, Moving(), 0.1).shown(before) is before


def test_nothing_ahead_stays_the_same_object_and_an_alloc_network_shows_all_as_they_are() -> None:
    seen, after = view([OWN, ONE]), view([OWN, ONE_NEW])
    nothing = Ahead()
    assert nothing.after(_step(seen, seen), V4, Moving(), 0.0) is nothing
    assert nothing.pause(0.0) is None
    ahead = nothing.after(_step(seen, after), V4, Moving(), 0.0)
    assert ahead.leases
    assert ahead.after(_step(after, after), _of("alloc"), Moving(), 0.1) == Ahead()


def test_peer_ahead_that_leaves_is_no_longer_shown() -> None:
    before, after = view([OWN, ONE]), view([OWN, ONE_NEW])
    ahead = Ahead().after(_step(before, after), V4, Moving(), 0.0)
    gone = view([OWN])
    assert ahead.after(_step(after, gone), V4, Moving(), 0.1).shown(gone) is gone


def test_move_puts_the_new_way_before_it_takes_the_old_device() -> None:
    """One peer after the other leaves the tunnel; the device goes when nobody uses it, with no route left on it."""
    run = Run()
    run.step(OLD)
    nobody = moving(OLD, NEW, 1, 2)
    assert run.step(nobody).ops == ()
    steps = [run.step(moving(OLD, NEW, 2)), run.step(moving(OLD, NEW)), run.step(NEW)]
    for step in steps[:2]:
        first, *rest = step.ops
        assert isinstance(first, Put)
        assert isinstance(first.obj, Route)
        assert first.previous is not None  # replaced in place: no moment without a route
        assert {type(op) for op in rest} == {Delete}
    (last,) = steps[2].ops
    assert isinstance(last, Delete)
    assert isinstance(last.obj, VxlanLink)


def test_move_to_a_tunnel_makes_the_device_first_and_leaves_routes_alone() -> None:
    run = Run()
    run.step(NEW)
    ops = run.step(moving(NEW, OLD, 1, 2)).ops
    assert not [op for op in ops if isinstance(op.obj, Route) or isinstance(op, Delete)]
    assert any(isinstance(op.obj, VxlanLink) for op in ops)
    later = run.step(moving(NEW, OLD, 2)).ops
    assert [type(op.obj) for op in later][1:] == [FdbEntry, Route]
    assert all(isinstance(op, Put) for op in later)


def test_kept_device_has_the_mac_that_peers_know_though_our_lease_names_none_any_more() -> None:
    """A host taken over from flannel has flannel's random MAC, not one that can be derived."""
    taken = replace(OWN, record=replace(lease(0, mac="42:84:f6:70:e1:f3").record))
    before = replace(OLD, own=taken, view=view([taken, ONE, TWO]))
    link = (desired_of(moving(before, NEW, 1)) or {})["link", "flannel.1"]
    assert isinstance(link, VxlanLink)
    assert str(link.mac) == "42:84:f6:70:e1:f3"


@pytest.mark.parametrize(("old", "new"), list(permutations(("vxlan", "host-gw", "udp", "ipip"), 2)))
def test_p16_move_of_a_crowd_is_no_mass_deletion(old: str, new: str) -> None:
    """All peers change their way in one pass, and nobody vanishes: the brake has no business here."""
    first, last = (crowd(40) if name == "vxlan" else as_backend(name, crowd(40)) for name in (old, new))
    run = Run()
    everybody = range(1, 41)
    for step in (first, moving(first, last, *everybody), moving(first, last), last):
        decision = run.step(step)
        assert decision.hold is None
        run.read_back()
    assert agree(run.standing.objects, desired_of(last))
    assert run.failures == []


def test_half_done_move_is_finished_by_a_daemon_that_knows_nothing_of_it() -> None:
    """Objects of an earlier run are ours by their alias, whichever backend they are of."""
    for name in WORLDS:
        if name.startswith("moving"):
            found = Run()
            found.step(WORLDS[name])
            restarted = Run(found.standing)
            restarted.step(NEW)
            assert not [obj for obj in restarted.standing.objects.values() if isinstance(obj, VxlanLink)]


WIREGUARD = _of("wireguard")
OUR_KEY = replace(OWN, record=replace(OWN.record, announced_key="our key"))


def _told(moving: Moving, *moments: float) -> Moving:
    for moment in moments:
        moving = moving.key_known(OUR_KEY, moment)
    return moving


def test_move_to_wireguard_lets_peers_know_the_key_before_they_send_by_it() -> None:
    begun = Moving().begun(V4, WIREGUARD, OWN)
    assert (begun.announces(), begun.is_unready(WIREGUARD)) == (False, True)
    placed = begun.built(WIREGUARD)
    assert (placed.stands, placed.announces(), placed.pause(10.0)) == (False, True, None)
    assert placed.key_known(OWN, 10.0) == placed, "etcd does not show it yet"
    known = _told(placed, 10.0)
    assert (known.stands, known.pause(10.0)) == (False, GREETING)
    greeting = _told(known, 10.0 + GREETING)
    assert greeting.former is not None
    assert (greeting.stands, greeting.former.greets) == (False, True)
    assert greeting.pause(10.0 + GREETING) == KNOWN - GREETING
    there = _told(greeting, 10.0 + KNOWN)
    assert (there.stands, there.announces(), there.is_unready(WIREGUARD)) == (True, False, False)


def test_move_from_wireguard_announces_the_key_until_nobody_sends_by_it() -> None:
    back = Moving().begun(WIREGUARD, V4, OWN).built(V4)
    assert (back.stands, back.announces()) == (True, True)
    idle = back.after([ONE, TWO], 10.0)
    assert idle.announces()
    assert not idle.after([ONE, TWO], 10.0 + GRACE).announces()


def test_move_to_wireguard_that_is_changed_meanwhile_begins_anew_from_what_peers_know() -> None:
    known = _told(Moving().begun(V4, WIREGUARD, OWN).built(WIREGUARD), 10.0, 10.0 + GREETING)
    assert known.begun(WIREGUARD, V4, OWN) == Moving()
    assert known.begun(WIREGUARD, _of("host-gw"), OWN) == ON_THE_WAY


def test_host_that_has_no_wireguard_yet_reaches_a_peer_that_has_it_by_the_old_backend() -> None:
    """A kernel without the module, or a key file that is no key: however long it takes."""
    before, after = view([OWN, ONE]), view([OWN, of_backend("wireguard", ONE)])
    begun = Moving().begun(V4, WIREGUARD, OWN)
    ahead = Ahead().after(_step(before, after), WIREGUARD, begun, 10.0)
    for moment in (10.0, 11.0, 99.0):
        ahead = ahead.after(_step(after, after), WIREGUARD, begun, moment)
        assert ahead.shown(after).leases == before.leases
        assert ahead.pause(moment) == AHEAD
    ready = replace(begun, stands=True)
    assert ahead.after(_step(after, after), WIREGUARD, ready, 99.1).shown(after) is after
