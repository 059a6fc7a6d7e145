"""Leases of hosts that were shut out: refused by node id, by key, and taken again once allowed."""

from __future__ import annotations

from dataclasses import replace

from flanpy.model.lease import LeaseRecord, WireguardData
from flanpy.model.revocation import Revocation
from flanpy.model.world import World
from flanpy.plan.admission import admit
from flanpy.plan.readmission import admit_from
from flanpy.plan.refusal import Reason
from tests.states import V4, lease, world

NODE = lease(1).record.node_id


def _with(*revoked: Revocation) -> World:
    return replace(world(V4, lease(0), lease(1), lease(2), own=lease(0)), revoked=revoked)


def test_revoked_host_is_no_peer_and_named_and_the_others_stay() -> None:
    admission = admit(_with(Revocation(NODE, host="web-1")))
    assert [peer.key for peer in admission.peers] == [lease(2).key]
    (refused,) = admission.rejected
    assert (refused.lease.key, refused.reason) == (lease(1).key, Reason.REVOKED)
    assert "flanpyctl keys allow" in refused.message


def test_key_of_a_revoked_host_is_refused_under_another_node_id() -> None:
    record = LeaseRecord(None, backend_type="wireguard", backend_data=WireguardData("KEY"), node_id="other")
    assert Revocation("n9", ("KEY",)).bars(record)
    assert Revocation("other").bars(record)
    assert not Revocation("n9", ("ELSE",)).bars(record)
    assert not Revocation("", ("",)).bars(replace(record, backend_data=None, node_id=""))


def test_news_of_the_list_is_judged_as_from_nothing() -> None:
    before = _with()
    now = replace(before, revoked=(Revocation(NODE),))
    judged = admit_from(admit_from(None, before), now)
    assert judged.admission == admit(now)
    assert admit_from(judged, replace(now, revoked=())).admission == admit(before)
