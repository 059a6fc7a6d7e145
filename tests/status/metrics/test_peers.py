"""Metrics of peers: each of few, only those in trouble among many, all of them together always."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType

from flanpy.model.histogram import Histogram
from flanpy.model.lease import SubnetKey
from flanpy.model.reach import Diagnosis, LayerHealth, PathMtu, PeerReach, Reach, ReachReport, Trouble
from flanpy.status.inputs import Inputs
from flanpy.status.metrics.peers import PER_PEER
from tests.status.passes import WELL
from tests.status.samples import samples, shown

FINE = LayerHealth(10, 10, 0.0, rtt=0.002, rtt_least=0.001, rtt_mean=0.0015, answered_at=99.0)
DEAD = LayerHealth(10, 0, 1.0)


def peer(number: int, *, node_id: str | None = None) -> PeerReach:
    """One that is reached without loss."""
    subnet = IPv4Network((0x0A000000 + number * 256, 24))
    return PeerReach(
        SubnetKey(subnet),
        f"node-{number}" if node_id is None else node_id,
        IPv4Address(0xC0000200 + number),
        subnet[0],
        reach=Reach.REACHABLE,
        overlay=FINE,
        underlay=replace(FINE, rtt=0.001),
        mtu=PathMtu(1450, 1450),
        heard_at=98.0,
    )


def cut_off(number: int) -> PeerReach:
    blocked = Diagnosis(Trouble.PORT_BLOCKED, "the underlay answers, the overlay does not", "open UDP 8472")
    return replace(peer(number), reach=Reach.UNREACHABLE, overlay=DEAD, diagnosis=blocked)


def reached(*peers: PeerReach, **more: object) -> Inputs:
    report = ReachReport(MappingProxyType({one.key: one for one in peers}), of=len(peers), probed=len(peers))
    return replace(WELL, reach=replace(report, **more))  # type: ignore[arg-type]  # fields of ReachReport


def test_each_of_few_peers_has_series_of_its_own() -> None:
    found = samples(shown(reached(peer(1), cut_off(2))))
    expected = {
        "flanpy_peer_reachable|node-1|10.0.1.0/24": 1,
        "flanpy_peer_reachable|node-2|10.0.2.0/24": 0,
        "flanpy_peer_rtt_seconds|overlay|node-1|10.0.1.0/24": 0.002,
        "flanpy_peer_rtt_seconds|underlay|node-1|10.0.1.0/24": 0.001,
        "flanpy_peer_rtt_seconds|underlay|node-2|10.0.2.0/24": 0.001,
        "flanpy_peer_loss_ratio|overlay|node-2|10.0.2.0/24": 1,
        "flanpy_peer_loss_ratio|underlay|node-2|10.0.2.0/24": 0,
        "flanpy_peer_path_mtu_bytes|node-1|10.0.1.0/24": 1450,
        "flanpy_peer_path_mtu_wanted_bytes|node-1|10.0.1.0/24": 1450,
        "flanpy_peer_heard_timestamp_seconds|node-1|10.0.1.0/24": 98,
        "flanpy_peer_trouble|node-2|10.0.2.0/24|PortBlocked": 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert "flanpy_peer_rtt_seconds|overlay|node-2|10.0.2.0/24" not in found
    assert not [name for name in found if name.startswith("flanpy_peer_trouble|node-1")]


def test_peer_that_names_no_node_is_called_by_its_subnet() -> None:
    assert samples(shown(reached(peer(1, node_id=""))))["flanpy_peer_reachable|10.0.1.0/24|10.0.1.0/24"] == 1


def test_peer_that_was_never_measured_has_no_values() -> None:
    blank = PeerReach(SubnetKey(IPv4Network("10.0.1.0/24")), "node-1", None, None)
    found = samples(shown(reached(blank)))
    assert not [name for name in found if name.startswith("flanpy_peer_")]
    assert found["flanpy_peers_reach|unknown"] == 1


def _of_peers(found: dict[str, float]) -> set[str]:
    series = [name for name in found if name.startswith("flanpy_peer_")]
    return {word for name in series for word in name.split("|") if word.startswith("node-")}


def test_among_many_peers_only_those_in_trouble_have_series() -> None:
    most = [peer(number) for number in range(1, PER_PEER + 1)]
    assert len(_of_peers(samples(shown(reached(*most))))) == PER_PEER
    found = samples(shown(reached(*most, cut_off(200))))
    assert _of_peers(found) == {"node-200"}
    assert found["flanpy_peers_reach|reachable"] == PER_PEER


def test_however_many_are_in_trouble_the_series_are_bounded() -> None:
    found = samples(shown(reached(*map(cut_off, range(1, 200)))))
    assert len(_of_peers(found)) == PER_PEER
    assert found["flanpy_peers_reach|unreachable"] == found["flanpy_peers_trouble|PortBlocked"] == 199


def test_aggregates_are_of_all_peers_together() -> None:
    short = replace(peer(3), mtu=PathMtu(1350, 1450))
    rtt = Histogram().with_one(0.002).with_one(0.03)
    found = samples(
        shown(
            reached(
                peer(1),
                cut_off(2),
                short,
                replace(peer(4), overlay=LayerHealth(), reach=Reach.UNKNOWN),
                of=10,
                probed=4,
                round=7,
                packets_sent=80,
                rtt_buckets=MappingProxyType(dict(rtt.cumulative())),
                rtt_sum=rtt.sum,
            )
        )
    )
    expected = {
        "flanpy_peers_reach|reachable": 2,
        "flanpy_peers_reach|unreachable": 1,
        "flanpy_peers_reach|unknown": 7,
        "flanpy_loss_ratio|overlay": 10 / 30,
        "flanpy_loss_ratio|underlay": 0,
        "flanpy_peers_path_mtu_short": 1,
        "flanpy_probe_rounds_total": 7,
        "flanpy_probe_packets_total": 80,
        "flanpy_probed_peers": 4,
        "flanpy_probe_problem": 0,
        "flanpy_rtt_seconds_bucket|0.0025": 1,
        "flanpy_rtt_seconds_count": 2,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_aggregates_stand_before_the_first_round_and_when_probing_is_impossible() -> None:
    found = samples(shown(WELL))
    assert found["flanpy_peers_reach|unknown"] == 2
    assert found["flanpy_rtt_seconds_count"] == found["flanpy_probe_rounds_total"] == 0
    assert "flanpy_loss_ratio|overlay" not in found
    assert samples(shown(reached(problem="CAP_NET_RAW is missing")))["flanpy_probe_problem"] == 1
