"""The documents of the control socket: what flanpyctl reads is there, and peers are counted by what became of them."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import pytest

from flanpy.model.address import Family
from flanpy.model.condition import ConditionType
from flanpy.model.event import EventKind
from flanpy.model.lease import InvalidLease
from flanpy.model.objects import OtherLink, OtherRoute, Route, TunnelPeer
from flanpy.model.ops import Delete, Put
from flanpy.model.reach import Diagnosis, LayerHealth, PathMtu, PeerReach, Reach, ReachReport, Trouble
from flanpy.model.tuning import HostTuning, NeighbourTable, ReversePath
from flanpy.plan.decision import Decision
from flanpy.plan.diff import Difference
from flanpy.plan.gates import Gate, Hold
from flanpy.reconcile.outcome import Pass
from flanpy.status import report
from flanpy.status.board import StatusSnapshot
from flanpy.status.events import EventRing, Happening
from flanpy.status.inputs import Inputs
from flanpy.status.judge.conditions import is_ready, judge, phase_of
from flanpy.status.lease_rows import peer_counts
from flanpy.store.own.allocation import Usage
from tests.cli import stand_in
from tests.states import DUAL, V4, as_backend, crowd, lease, view, world
from tests.status.passes import NOW, OWN, TWO_PEERS, WELL, conflicting, desired, last, link, passed, refused

HEAD = report.DaemonHead("1", "node-0", 1, NOW)
ROUTES = [obj for obj in desired().values() if isinstance(obj, Route)]
ROUTE = ROUTES[0]
TABLE = NeighbourTable(Family.IPV4, limit=1024, needed=2, refused=3)
FOREIGN = OtherRoute(ROUTE.destination, "blackhole", proto=4)


def _snapshot(inputs: Inputs = WELL) -> StatusSnapshot:
    judged = judge(inputs, NOW)
    return StatusSnapshot(inputs, conditions=judged, phase=phase_of(judged, inputs), ready=is_ready(judged))


def _status(inputs: Inputs) -> dict[str, Any]:
    said: dict[str, Any] = report.plain(report.status(_snapshot(inputs), now=NOW, head=HEAD))
    return said


def _shape(value: Any) -> Any:
    match value:
        case dict():
            return {key: _shape(item) for key, item in value.items()}
        case [first, *_]:
            return [_shape(first)]
        case _:
            return None


def test_status_has_the_keys_that_flanpyctl_reads() -> None:
    looked_at = replace(WELL, tuning=HostTuning(neighbours=(TABLE,)), pools=(Usage(4, 3), None))
    wanted, found = json.loads(json.dumps(stand_in.STATUS)), _status(looked_at)
    for counted in ("resyncs", "repairs"):
        wanted["passes"].pop(counted)
        found["passes"].pop(counted)
    assert _shape(found) == _shape(wanted)


def test_status_is_json_and_complete_before_anything_is_known() -> None:
    said = json.loads(json.dumps(_status(Inputs())))
    assert said.keys() == stand_in.STATUS.keys()
    assert (said["phase"], said["ready"]) == ("STARTING", False)
    assert [said[key] for key in ("network", "own", "underlay", "backend")] == [None] * 4
    assert len(said["conditions"]) == len(ConditionType)
    assert set(said["peers"].values()) == {0}


def test_status_tells_what_is_left_of_the_lease_or_nothing_for_a_reservation() -> None:
    assert _status(WELL)["own"]["expires_in"] == 86_400
    reserved = replace(WELL, own=replace(WELL.own, lease=lease(0, reserved=True), expires_at=None))
    assert _status(reserved)["own"]["expires_in"] is None
    assert _status(reserved)["own"]["reservation"] is True


def test_subnets_have_the_keys_that_flanpyctl_reads() -> None:
    said = report.plain(report.subnets(_snapshot(), {1001: 40.0}))
    assert said.keys() == stand_in.SUBNETS.keys()
    wanted = stand_in.SUBNETS["subnets"][0].keys() - {"expires_in"}
    for row in json.loads(json.dumps(said["subnets"])):
        assert row.keys() - {"expires_in"} == wanted
    assert report.plain(report.subnets(_snapshot(Inputs()), {})).keys() == said.keys()


def test_subnets_are_in_order_with_what_became_of_each() -> None:
    stray = replace(lease(3), key=replace(lease(3).key, subnet=IPv4Network("10.99.3.0/24")))
    peers = (lease(2), lease(1), stray)
    inputs = replace(WELL, last=passed(world(V4, *peers), failures=(refused(ROUTE),)))
    rows = report.plain(report.subnets(_snapshot(inputs), {}))["subnets"]
    assert [(row["subnet"], row["state"], row["own"]) for row in rows] == [
        ("10.50.10.0/24", "own", True),
        ("10.50.11.0/24", "failed", False),
        ("10.50.12.0/24", "programmed", False),
        ("10.99.3.0/24", "rejected", False),
    ]
    assert all(bool(row["reason"]) == (row["state"] in {"failed", "rejected"}) for row in rows)
    pending = report.plain(report.subnets(_snapshot(last(desired=None)), {}))["subnets"]
    assert [row["state"] for row in pending] == ["own", "pending", "pending"]


def test_subnets_name_keys_that_cannot_be_read() -> None:
    junk = InvalidLease("/coreos.com/network/subnets/junk", "no subnet")
    inputs = replace(WELL, last=passed(replace(TWO_PEERS, view=view([OWN], invalid=(junk,), stale=True))))
    said = report.plain(report.subnets(_snapshot(inputs), {}))
    assert said["invalid"] == [{"key": junk.key, "reason": "no subnet"}]
    assert said["stale"] is True


DUAL_TWO = crowd(2, DUAL)
BOTH_ROUTES = [
    obj for obj in desired(DUAL_TWO).values() if isinstance(obj, Route) and str(obj.destination) in
    {"10.50.11.0/24", "fd50:0:0:b::/64"}
]  # fmt: skip


@pytest.mark.parametrize(
    ("outcome", "programmed", "pending", "failed"),
    [
        (None, 0, 0, 0),
        (passed(), 2, 0, 0),
        (passed(desired=None), 0, 2, 0),
        (passed(failures=(refused(ROUTE),)), 1, 0, 1),
        (passed(DUAL_TWO, failures=tuple(refused(route) for route in BOTH_ROUTES)), 1, 0, 1),
        (passed(difference=conflicting((ROUTE, FOREIGN))), 1, 0, 1),
        (passed(difference=conflicting((link(), OtherLink("flannel.1", "bridge")))), 0, 0, 2),
    ],
    ids=["no pass", "all", "unplanned", "refused", "dual refused", "foreign route", "foreign link"],
)
def test_peers_are_counted_by_what_became_of_them(
    outcome: Pass | None, programmed: int, pending: int, failed: int
) -> None:
    counts = peer_counts(outcome)
    assert (counts.programmed, counts.pending, counts.failed) == (programmed, pending, failed)
    assert counts.wanted == programmed + pending + failed


def test_peers_in_the_status_and_rows_of_the_subnets_agree_when_a_foreign_link_is_in_the_way() -> None:
    inputs = last(difference=conflicting((link(), OtherLink("flannel.1", "bridge"))))
    rows = report.plain(report.subnets(_snapshot(inputs), {}))["subnets"]
    assert [row["state"] for row in rows] == ["own", "failed", "failed"]
    assert _status(inputs)["peers"]["failed"] == 2


def test_difference_has_the_keys_that_flanpyctl_reads_and_tells_held_lines_apart() -> None:
    decision = Decision(
        desired(),
        Difference(deletes=(Delete(ROUTE),), puts=(Put(link()),)),
        ops=(Put(link()),),
        gate=Gate.LEASES_NOT_LISTED,
    )
    said = report.plain(report.difference(decision))
    assert said.keys() == stand_in.DIFF.keys()
    assert said["trusted"] is True
    assert [line.split()[:3] for line in said["lines"]] == [["ip", "link", "add"]]
    assert said["kinds"] == ["link"]
    assert [line.split()[:3] for line in said["held_lines"]] == [["ip", "route", "del"]]
    assert said["held"] == Gate.LEASES_NOT_LISTED.value
    braked = replace(decision, gate=None, hold=Hold(30, 40, 1))
    assert report.plain(report.difference(braked))["held"] == "30 of 40 peers vanished at once"
    assert report.plain(report.difference(Decision()))["trusted"] is False


def test_difference_names_what_is_held_only_when_something_is() -> None:
    assert report.plain(report.difference(Decision(desired(), gate=Gate.LEASES_NOT_LISTED)))["held"] == ""


@pytest.mark.parametrize(("backend", "shown"), [("udp", "kernel (eBPF)"), ("host-gw", None)])
def test_status_names_the_data_plane_of_a_network_that_has_one(backend: str, shown: str | None) -> None:
    tunnelled = as_backend(backend, TWO_PEERS)
    inputs = replace(WELL, network=tunnelled.network, data_plane="kernel (eBPF)", last=passed(tunnelled))
    assert _status(inputs)["backend"]["data_plane"] == shown


def test_status_shows_the_tun_device_with_port_and_address_of_its_tunnel() -> None:
    tunnelled = as_backend("udp", TWO_PEERS)
    (link,) = _status(replace(WELL, network=tunnelled.network, last=passed(tunnelled)))["backend"]["links"]
    assert (link["name"], link["mtu"], link["port"], link["local"]) == ("flannel0", 1472, 8285, "192.0.2.10")
    assert (link["mac"], link["vni"]) == (None, None)


def test_peers_of_a_tunnel_that_refused_its_table_are_failed() -> None:
    tunnelled = as_backend("udp", TWO_PEERS)
    (first, _) = [obj for obj in desired(tunnelled).values() if isinstance(obj, TunnelPeer)]
    counts = peer_counts(passed(tunnelled, failures=(refused(first),)))
    assert (counts.programmed, counts.failed) == (1, 1)


# Peers


def _probed(number: int, **more: Any) -> PeerReach:
    of = lease(number)
    return PeerReach(of.key, of.record.node_id, of.record.public_ip, None, **more)


def test_peers_are_told_with_what_became_of_them_and_how_probes_reach_them() -> None:
    cut = _probed(
        2,
        reach=Reach.UNREACHABLE,
        diagnosis=Diagnosis(Trouble.PORT_BLOCKED, "the underlay answers", "open UDP 8472"),
        overlay=LayerHealth(sent=4, answered=0, loss=1.0),
        underlay=LayerHealth(sent=4, answered=4, rtt=0.00025),
        mtu=PathMtu(1350, 1450),
        changed_at=NOW,
    )
    inputs = replace(
        last(failures=(refused(ROUTE),)), reach=ReachReport({one.key: one for one in (_probed(1), cut)}, of=2)
    )
    first, second = json.loads(json.dumps(report.plain(report.peers(_snapshot(inputs)))))["peers"]
    assert second == {
        "node_id": "node-2",
        "host": "node-2",
        "subnet": "10.50.12.0/24",
        "subnet6": None,
        "public_ip": "192.0.2.12",
        "way": "tunnel",
        "state": "programmed",
        "reason": "",
        "reach": "unreachable",
        "trouble": "PortBlocked",
        "evidence": "the underlay answers",
        "cure": "open UDP 8472",
        "rtt_ms": None,
        "loss": 1.0,
        "underlay_rtt_ms": 0.25,
        "underlay_loss": 0.0,
        "path_mtu": 1350,
        "path_mtu_wanted": 1450,
        "changed_at": NOW,
        "wireguard": [],
    }
    assert (first["state"], first["reach"], first["loss"], first["changed_at"]) == (
        "failed",
        "unknown",
        None,
        None,
    )


def test_peers_are_listed_before_any_probe_and_leave_out_ourselves_and_rejected_leases() -> None:
    stray = replace(lease(3), key=replace(lease(3).key, subnet=IPv4Network("10.99.3.0/24")))
    rows = report.plain(report.peers(_snapshot(last(world=world(V4, lease(1), stray)))))["peers"]
    assert [row["node_id"] for row in rows] == ["node-1"]
    assert report.plain(report.peers(_snapshot(Inputs()))) == {"peers": []}


def test_events_are_told_oldest_first() -> None:
    ring = EventRing()
    ring.add(
        [Happening(EventKind.REPAIRED, "route", "link: gone"), Happening(EventKind.PEER_LEFT, "node-2")], NOW
    )
    said = json.loads(json.dumps(report.plain(report.events(ring.after(), epoch="e"))))
    rest = {
        "at": NOW,
        "first_at": NOW,
        "count": 1,
        "times": 1,
        "attributes": [],
        "lasts": False,
        "ended_at": None,
        "lasted_s": None,
        "reasons": [],
        "about": [],
        "unlisted": 0,
    }
    repaired = {"number": 1, "kind": "repaired", "what": "route", "why": "link: gone"}
    left = {"number": 2, "kind": "peer_left", "what": "node-2", "why": ""}
    assert said == {
        "epoch": "e",
        "events": [
            {**rest, **repaired, "text": "repaired route: link: gone"},
            {**rest, **left, "text": "node-2 left"},
        ],
    }


def test_conditions_are_told_with_evidence_and_with_what_would_explain_them() -> None:
    cut = _probed(2, reach=Reach.UNREACHABLE, diagnosis=Diagnosis(Trouble.PEER_DOWN))
    inputs = replace(WELL, reach=ReachReport({cut.key: cut}, of=2))
    (said,) = [one for one in _status(inputs)["conditions"] if one["type"] == "PeersReachable"]
    assert said["evidence"] == ["node-0 -> node-2 (192.0.2.12): PeerDown"]
    assert "BackendReady" in said["depends_on"]


def test_tuning_and_room_are_told_once_they_were_looked_at() -> None:
    tuning = HostTuning(ReversePath(("eth0",), 7, 2), (TABLE,), bridge_filter=True)
    said = json.loads(json.dumps(_status(replace(WELL, tuning=tuning, pools=(Usage(4, 3), None)))))
    assert said["pools"] == [{"total": 4, "free": 1}]
    assert said["tuning"]["reverse_path"] == {"strict": ["eth0"], "drops": 7, "drops_lately": 2}
    assert said["tuning"]["neighbours"][0] == {
        "family": "ipv4", "limit": 1024, "needed": 2, "refused": 3, "refused_lately": 0,
    }  # fmt: skip
    assert said["tuning"]["bridge_filter"] is True
