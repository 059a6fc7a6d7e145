"""The quick way of admission: what it takes over, and when it must judge all leases again."""

from __future__ import annotations

import sys
from dataclasses import replace
from ipaddress import IPv4Network

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flanpy.model.lease import Lease, LeaseView, SubnetKey
from flanpy.model.world import Former, World
from flanpy.plan.admission import Judge, admit
from flanpy.plan.readmission import Judged, admit_from
from flanpy.plan.refusal import Reason
from tests.states import POLICY, V4, crowd, lease, moved, of_backend, view, world


def seen(*leases: Lease) -> World:
    """Our host sees these leases besides its own, which is always the same object."""
    return replace(BASE, view=view([OWN, *leases]))


OWN = lease(0)
BASE = world(own=OWN)
ONE, TWO, THREE = lease(1), lease(2), lease(3)
TWIN = lease(2, mac="02:00:00:00:00:01")


def follow(*worlds: World) -> Judged:
    judged = admit_from(None, worlds[0])
    for step in worlds[1:]:
        judged = admit_from(judged, step)
        assert judged.admission == admit(step)
    return judged


def test_leases_are_admitted_as_if_judged_anew() -> None:
    judged = follow(seen(ONE), seen(ONE, THREE), seen(ONE, THREE, TWO), seen(TWO))
    assert judged.admission.peers == (TWO,)


def test_view_that_is_the_same_object_costs_nothing() -> None:
    before = admit_from(None, seen(ONE))
    assert admit_from(before, replace(before.world, own_confirmed=False)) is before


def test_leases_that_went_are_let_go() -> None:
    """A daemon lives for months: what it judged first must not be kept with all the leases of that day."""
    gone = lease(4)
    before = sys.getrefcount(gone)
    judged = admit_from(admit_from(None, seen(ONE, gone)), seen(ONE))
    assert judged.admission.peers == (ONE,)
    assert sys.getrefcount(gone) == before


def test_only_newcomers_are_judged_while_none_contend() -> None:
    counting, judged_leases = _counting(admit_from(None, seen(ONE, TWO)))
    after = admit_from(counting, seen(ONE, TWO, THREE))
    assert judged_leases == [THREE]
    assert after.admission == admit(after.world)


def _counting(before: Judged) -> tuple[Judged, list[Lease]]:
    """Note the leases that are judged from now on."""
    judged_leases: list[Lease] = []

    class Counting(Judge):
        def peer(self, lease: Lease, rejected: list[object]) -> Lease | None:  # type: ignore[override]
            judged_leases.append(lease)
            return super().peer(lease, rejected)  # type: ignore[arg-type]

    counting = replace(before, judge=Counting(before.world))
    for peer in before.peers.values():
        assert counting.judge is not None
        counting.judge.peer(peer, [])
    judged_leases.clear()
    return counting, judged_leases


STRANGER = replace(lease(5), record=replace(lease(5).record, backend_type="udp"))


def test_refused_lease_that_goes_is_no_reason_to_judge_others() -> None:
    counting, judged_leases = _counting(admit_from(None, seen(ONE, TWIN)))
    after = admit_from(counting, seen(ONE))
    assert type(after.judge) is type(counting.judge), "not all were judged again"
    assert (judged_leases, after.admission) == ([], admit(after.world))


def test_lease_refused_for_what_it_is_does_not_contend() -> None:
    counting, judged_leases = _counting(admit_from(None, seen(ONE, STRANGER)))
    where_it_was = replace(lease(6), key=STRANGER.key)
    after = admit_from(counting, replace(BASE, view=_view(OWN, ONE, STRANGER, where_it_was)))
    assert (judged_leases, after.admission) == ([where_it_was], admit(after.world))
    counting, judged_leases = _counting(admit_from(None, seen(ONE)))
    after = admit_from(counting, seen(ONE, STRANGER))
    assert (judged_leases, after.admission) == ([STRANGER], admit(after.world))


def _view(*leases: Lease) -> LeaseView:
    """A view in which several leases may have one key."""
    return LeaseView({str(at): one for at, one in enumerate(leases)}, listings=1, stale=False)


def test_refusals_stay_in_the_order_of_age_when_one_comes_between() -> None:
    refused = [replace(STRANGER, create_revision=at, key=lease(at).key) for at in (20, 30, 40)]
    first, between, last = refused
    judged = follow(seen(first, last), seen(first, last, ONE), seen(*refused, ONE))
    assert [one.lease for one in judged.admission.rejected] == [first, between, last]


def test_lease_as_old_as_another_is_put_in_the_order_of_keys_among_older_ones() -> None:
    old, one, three = lease(9, revision=10), lease(1, revision=50), lease(3, revision=50)
    assert follow(seen(old, three), seen(old, three, one)).admission.peers == (old, one, three)


def test_one_of_many_refused_is_admitted_when_its_rival_goes_with_many_others() -> None:
    """So many that comparing them all would cost more than judging all again."""
    others = [lease(number) for number in range(60, 120)]
    twins = [lease(number, mac="02:00:00:00:00:01") for number in range(10, 50)]
    judged = follow(seen(ONE, *others, *twins), seen(*twins))
    assert judged.admission.peers == (twins[0],)


def test_lease_that_lost_its_mac_is_forgotten_when_it_goes() -> None:
    """Leases are told apart by their id, which another may have then."""
    nameless = replace(ONE, record=replace(ONE.record, node_id=""))
    judged = follow(seen(nameless), seen(nameless, TWIN), seen(TWIN))
    assert judged.judge is not None
    assert not judged.judge.bars([id(nameless)])


def test_lease_that_contended_is_admitted_once_its_rival_goes() -> None:
    rival = replace(lease(2), key=ONE.key)
    younger = {"one": ONE, "two": rival}
    both = replace(BASE, view=LeaseView(younger, listings=1, stale=False))
    alone = replace(BASE, view=LeaseView({"two": rival}, listings=1, stale=False))
    judged = follow(both, alone)
    assert judged.admission.peers == (rival,)
    assert judged.admission.rejected == ()


def test_lease_with_anothers_mac_is_admitted_once_that_one_goes() -> None:
    twin = lease(2, mac="02:00:00:00:00:01")
    judged = follow(seen(ONE), seen(ONE, twin), seen(twin), seen(twin, THREE))
    assert judged.admission.peers == (twin, THREE)
    assert judged.admission.rejected == ()


def test_mac_passes_from_a_lease_without_a_node_to_one_with_and_back_when_that_goes() -> None:
    nameless = replace(ONE, record=replace(ONE.record, node_id=""))
    named = lease(2, mac="02:00:00:00:00:01")
    judged = follow(
        seen(nameless), seen(nameless, named), seen(nameless, named, THREE), seen(nameless, THREE)
    )
    assert judged.admission.peers == (nameless, THREE)
    assert judged.admission.rejected == ()
    assert follow(seen(nameless), seen(nameless, named), seen(named)).admission.peers == (named,)


def test_mac_of_two_leases_of_one_host_stays_taken_until_both_are_gone() -> None:
    again = replace(lease(4, revision=400), record=ONE.record)
    twin = lease(5, mac="02:00:00:00:00:01", revision=500)
    judged = follow(seen(ONE, again), seen(again), seen(again, twin), seen(twin))
    assert judged.admission.peers == (twin,)
    assert [one.reason for one in follow(seen(ONE, again), seen(again, twin)).admission.rejected] == [
        Reason.DUPLICATE_VTEP_MAC
    ]


def test_newcomer_older_than_those_present_takes_precedence() -> None:
    older = replace(lease(4, public="192.0.2.77", revision=2), key=THREE.key)
    leases = {"three": THREE, "four": older}
    before = replace(BASE, view=LeaseView({"three": THREE}, listings=1, stale=False))
    judged = follow(before, replace(BASE, view=LeaseView(leases, listings=1, stale=False)))
    assert judged.admission.peers == (older,)


def test_leases_of_one_transaction_come_in_the_order_of_their_keys() -> None:
    together = [lease(number, revision=50) for number in (3, 1, 2)]
    judged = follow(seen(*together[:1]), seen(*together[:2]), seen(*together))
    assert [str(peer.key) for peer in judged.admission.peers] == [
        "10.50.11.0-24",
        "10.50.12.0-24",
        "10.50.13.0-24",
    ]


def test_faults_of_one_transaction_come_in_the_order_of_their_keys() -> None:
    strangers = [
        replace(lease(n, revision=50), record=replace(lease(n).record, backend_type="udp")) for n in (3, 1, 2)
    ]
    judged = follow(seen(*strangers[:1]), seen(*strangers[:2]), seen(*strangers))
    assert [str(one.lease.key) for one in judged.admission.rejected] == [
        "10.50.11.0-24",
        "10.50.12.0-24",
        "10.50.13.0-24",
    ]


def test_all_are_judged_anew_when_what_they_are_measured_by_changes() -> None:
    before = seen(ONE, TWO)
    assert OWN.key.subnet is not None
    for after in (
        replace(before, own=replace(OWN, key=TWO.key)),
        replace(before, facts=moved(address=TWO.record.public_ip)),
        replace(before, policy=replace(POLICY, public_ip=ONE.record.public_ip)),
        replace(before, network=replace(V4, backend_type="udp")),
        replace(before, network=None),
    ):
        assert admit_from(admit_from(None, before), after).admission == admit(after) != admit(before)


def test_leases_of_the_former_backend_are_admitted_once_there_is_one() -> None:
    slow = of_backend("host-gw", TWO)
    before = seen(ONE, slow)
    after = replace(before, former=Former(replace(V4, backend_type="host-gw"), OWN.record))
    assert follow(before).admission.peers == (ONE,)
    assert follow(before, after).admission.peers == (ONE, slow)


def test_renewed_own_lease_and_another_mtu_change_nothing() -> None:
    before = admit_from(None, seen(ONE))
    renewed = replace(before.world, own=replace(OWN, mod_revision=99), facts=moved(mtu=1400))
    assert admit_from(before, renewed) is before


def test_earlier_answers_stay_as_they_were() -> None:
    first = admit_from(None, crowd(3))
    peers = dict(first.peers)
    admit_from(first, world())
    admit_from(first, crowd(9))
    assert dict(first.peers) == peers
    assert admit_from(first, crowd(3)).admission == admit(crowd(3))


_SUBNETS = [
    IPv4Network(f"10.{text}")
    for text in (
        "50.20.0/24",
        "50.20.0/23",
        "50.21.0/24",
        "50.24.0/22",
        "50.26.0/24",
        "50.10.0/24",
        "77.0.0/24",
    )
]
_PUBLICS = ["192.0.2.20", "192.0.2.21", "10.50.20.7", "10.50.26.9", "10.50.10.3"]


@st.composite
def _leases(draw: st.DrawFn) -> Lease:
    """Leases of few subnets, addresses and MACs, so that most contend in some way."""
    made = lease(
        draw(st.integers(1, 9)),
        public=draw(st.sampled_from(_PUBLICS)),
        mac=f"02:00:00:00:00:{draw(st.integers(0, 4)):02x}",
        revision=draw(st.integers(100, 120)),
    )
    record = made.record if draw(st.booleans()) else replace(made.record, node_id="")
    return replace(made, key=SubnetKey(draw(st.sampled_from(_SUBNETS))), record=record)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(_leases(), max_size=7), min_size=2, max_size=4), st.data())
def test_admission_of_any_history_is_that_of_its_last_view(
    steps: list[list[Lease]], data: st.DataObject
) -> None:
    judged: Judged | None = None
    standing: list[Lease] = []
    for newcomers in steps:
        staying = [one for one in standing if data.draw(st.booleans())]
        standing = list({one.key: one for one in (*newcomers, *staying)}.values())
        judged = admit_from(judged, seen(*standing))
        assert judged.admission == admit(judged.world)


def test_change_far_from_those_refused_judges_nobody_else() -> None:
    twin = lease(2, mac="02:00:00:00:00:01")
    before = admit_from(None, seen(ONE, twin))
    after = admit_from(before, seen(ONE, twin, THREE))
    assert [one.lease for one in after.admission.rejected] == [twin]
    assert after.admission.rejected[0] is before.admission.rejected[0], "not judged again"
    assert after.admission == admit(after.world)
