"""The newest routes once etcd is lost: which of them are doubted, and how a withheld lease stays out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flanpy.model.address import IPNetwork
from flanpy.model.lease import Lease
from flanpy.model.objects import Route
from flanpy.model.world import Claim
from flanpy.plan.admission import admit
from flanpy.plan.readmission import admit_from
from flanpy.plan.recent import KEPT, RECENT, Recent
from flanpy.plan.refusal import Reason
from tests.plan.pipeline import Run, desired_of
from tests.states import V4, crowd, lease, view, world

OLD, NEW = lease(1), lease(2)


def claim(one: Lease) -> Claim:
    return (one.key, one.record)


def subnet(one: Lease) -> IPNetwork:
    assert one.key.subnet is not None
    return one.key.subnet


def test_only_routes_from_shortly_before_etcd_was_last_heard_are_doubted() -> None:
    recent = Recent().with_new([subnet(OLD)], 100.0).with_new([subnet(NEW)], 120.0)
    assert recent.doubted([OLD, NEW], heard=120.5) == {claim(NEW)}
    assert recent.doubted([OLD, NEW], heard=100.0 + RECENT) == {claim(OLD), claim(NEW)}
    assert recent.doubted([OLD, NEW], heard=131.0) == frozenset()
    assert recent.doubted([OLD], heard=120.5) == frozenset()
    assert recent.settled().doubted([OLD, NEW], heard=120.5) == frozenset()


def test_memory_of_new_routes_is_bounded_by_time() -> None:
    recent = Recent().with_new([subnet(OLD)], 100.0).with_new([subnet(NEW)], 100.0 + KEPT)
    assert set(recent.added) == {subnet(NEW)}


def test_withheld_lease_stays_out_until_it_says_something_else_or_goes() -> None:
    recent = Recent().withholding(frozenset({claim(OLD), claim(NEW)}))
    rewritten = replace(NEW, mod_revision=900, lease_id=77)
    assert recent.after(view([OLD, rewritten])) is recent
    moved = replace(NEW, record=replace(NEW.record, public_ip=lease(9).record.public_ip))
    assert recent.after(view([OLD, moved])).withheld == {claim(OLD)}
    assert recent.after(view([OLD])).withheld == {claim(OLD)}
    assert recent.after(view([], stale=True)) is recent, "a lost watch tells of no change"


def test_withheld_lease_is_refused_by_name_and_others_stay() -> None:
    seen = replace(world(V4, OLD, NEW), withheld=frozenset({claim(NEW)}))
    admitted = admit(seen)
    assert [peer.key for peer in admitted.peers] == [OLD.key]
    (refused,) = admitted.rejected
    assert refused.reason is Reason.WITHHELD
    assert str(NEW.key) in refused.message
    assert admit_from(admit_from(None, world(V4, OLD, NEW)), seen).admission == admitted


@pytest.mark.parametrize("peers", [3, 40])
@pytest.mark.parametrize("closed", [False, True], ids=["gates open", "own lease not confirmed"])
def test_routes_of_withheld_leases_go_past_gate_and_brake(peers: int, *, closed: bool) -> None:
    run = Run()
    run.step(crowd(peers))
    doubted = frozenset(
        (one.key, one.record) for one in crowd(peers).view.leases.values() if one.create_revision > 1
    )
    seen = replace(crowd(peers), withheld=doubted, own_confirmed=not closed)
    run.step(replace(seen, view=replace(seen.view, stale=True)))
    left = {obj.destination for obj in run.standing.objects.values() if isinstance(obj, Route)}
    assert left.isdisjoint(key.subnet for key, _ in doubted)
    run.step(crowd(peers))
    assert run.standing.objects == desired_of(crowd(peers))
