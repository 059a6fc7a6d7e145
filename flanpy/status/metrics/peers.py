"""Metrics of peers: what stands for them here, and how probes reach them.

Aggregates always. A series for each peer only among few: beyond `PER_PEER` they cost more to render and to keep than
they tell, so then only peers in trouble have any, the first of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from prometheus_client.metrics_core import Metric

from flanpy.model.histogram import ROUND_TRIPS, Histogram
from flanpy.model.reach import Layer, LayerHealth, PeerReach, Reach, ReachReport, Trouble
from flanpy.status.inputs import Inputs
from flanpy.status.lease_rows import peer_counts
from flanpy.status.metrics.families import count, counter, gauge, gauges, histogram

PER_PEER = 64
"""Peers up to which each has series of its own."""

_PEER = ("peer", "subnet")

_Value = Callable[[PeerReach], float | None]


def peers(inputs: Inputs) -> Iterator[Metric]:
    counts = peer_counts(inputs.last)
    states = {
        "programmed": counts.programmed,
        "pending": counts.pending,
        "failed": counts.failed,
        "rejected": counts.rejected,
    }
    yield gauges(
        "flanpy_peers",
        "Peers by what became of them here.",
        ("state",),
        (((s,), n) for s, n in states.items()),
    )
    hold = inputs.last.decision.hold if inputs.last else None
    yield gauge("flanpy_held_deletions", "Peers whose removal the brake holds.", hold.peers if hold else 0)
    remembered = len(inputs.last.world.view.deletions) if inputs.last else 0
    yield gauge(
        "flanpy_remembered_deletions", "Names of deleted leases that the brake can still ask for.", remembered
    )
    conflicts = len(inputs.last.decision.difference.conflicts) if inputs.last else 0
    yield gauge("flanpy_foreign_conflicts", "Foreign kernel objects where ours should stand.", conflicts)
    report = inputs.reach or ReachReport(of=counts.wanted)
    yield from _rounds(report)
    yield from _aggregates(report)
    yield from _each(report)


def _rounds(report: ReachReport) -> Iterator[Metric]:
    yield count("flanpy_probe_rounds", "Rounds of probes.", report.round)
    yield count("flanpy_probe_packets", "Packets sent to probe peers.", report.packets_sent)
    yield counter(
        "flanpy_checksum_checks",
        "Sets of datagrams whose checksums peers checked, by what they found: whole or corrupted.",
        ("result",),
        ((("whole",), float(report.checks_whole)), (("corrupted",), float(report.checks_corrupted))),
    )
    yield gauge("flanpy_probed_peers", "Peers that the last round probed.", report.probed)
    yield gauge("flanpy_probe_problem", "1 if this host cannot probe.", bool(report.problem))


def _aggregates(report: ReachReport) -> Iterator[Metric]:
    found = report.peers.values()
    reach = Counter(peer.reach for peer in found)
    reach[Reach.UNKNOWN] += max(report.of - len(found), 0)
    yield gauges(
        "flanpy_peers_reach",
        "Peers by how well they are reached over the overlay.",
        ("reach",),
        (((each.value,), reach[each]) for each in Reach),
    )
    troubles = Counter(peer.diagnosis.trouble for peer in found)
    yield gauges(
        "flanpy_peers_trouble",
        "Peers by what stands between them and us.",
        ("trouble",),
        (((each.value,), troubles[each]) for each in Trouble if each is not Trouble.NONE),
    )
    yield gauges(
        "flanpy_loss_ratio",
        "Share of probes without an answer, of all peers together.",
        ("layer",),
        (((layer.value,), lost) for layer in Layer if (lost := _lost(layer, found)) is not None),
    )
    short = sum(bool(peer.mtu.wanted) and not peer.mtu.is_whole for peer in found)
    yield gauge("flanpy_peers_path_mtu_short", "Peers that no full packet reaches.", short)
    yield _rtt(report)


def _rtt(report: ReachReport) -> Metric:
    buckets = report.rtt_buckets.items() or Histogram.of(ROUND_TRIPS).cumulative()
    text = "Round trips over the overlay, of all peers together."
    return histogram("flanpy_rtt_seconds", text, (), [((), buckets, report.rtt_sum)])


def _lost(layer: Layer, found: Iterable[PeerReach]) -> float | None:
    """Weighed by what was sent; None before anything was."""
    layers = [_layer(peer, layer) for peer in found]
    sent = sum(each.sent for each in layers)
    return sum(each.loss * each.sent for each in layers) / sent if sent else None


def _each(report: ReachReport) -> Iterator[Metric]:
    shown = tuple(_shown(report))
    for name, text, value in _OF_PEER:
        found = ((_names(peer), value(peer)) for peer in shown)
        yield gauges(name, text, _PEER, ((names, one) for names, one in found if one is not None))
    for name, text, of_layer in _OF_LAYER:
        yield gauges(
            name,
            text,
            (*_PEER, "layer"),
            (
                ((*_names(peer), layer.value), one)
                for peer in shown
                for layer in Layer
                if (one := of_layer(_layer(peer, layer))) is not None
            ),
        )
    yield gauges(
        "flanpy_peer_trouble",
        "1 for what stands between a peer and us.",
        (*_PEER, "trouble"),
        (
            ((*_names(peer), peer.diagnosis.trouble.value), 1.0)
            for peer in shown
            if peer.diagnosis.trouble is not Trouble.NONE
        ),
    )


def _shown(report: ReachReport) -> Iterator[PeerReach]:
    everyone = report.peers.values()
    if max(report.of, len(everyone)) <= PER_PEER:
        yield from everyone
    else:
        yield from islice((peer for peer in everyone if _is_in_trouble(peer)), PER_PEER)


def _is_in_trouble(peer: PeerReach) -> bool:
    return peer.reach in {Reach.UNREACHABLE, Reach.LOSSY} or peer.diagnosis.trouble is not Trouble.NONE


def _names(peer: PeerReach) -> tuple[str, str]:
    """The name that people read, and the subnet; flannel's leases name no host: then the subnet is the name."""
    subnet = str(peer.key.subnet or peer.key.subnet6)
    return peer.host or peer.node_id or subnet, subnet


def _layer(peer: PeerReach, layer: Layer) -> LayerHealth:
    return peer.overlay if layer is Layer.OVERLAY else peer.underlay


def _reachable(peer: PeerReach) -> float | None:
    """A lossy peer is reached; how badly, its loss tells."""
    return None if peer.reach is Reach.UNKNOWN else float(peer.reach is not Reach.UNREACHABLE)


def _path_mtu(peer: PeerReach) -> float | None:
    return peer.mtu.passed if peer.mtu.wanted else None


def _path_mtu_wanted(peer: PeerReach) -> float | None:
    return peer.mtu.wanted or None


_OF_PEER: tuple[tuple[str, str, _Value], ...] = (
    ("flanpy_peer_reachable", "1 if a peer answers over the overlay.", _reachable),
    ("flanpy_peer_path_mtu_bytes", "Largest inner packet that passed to a peer.", _path_mtu),
    (
        "flanpy_peer_path_mtu_wanted_bytes",
        "Largest inner packet that should pass to a peer.",
        _path_mtu_wanted,
    ),
    (
        "flanpy_peer_heard_timestamp_seconds",
        "When a probe of a peer came in over the overlay last.",
        lambda peer: peer.heard_at,
    ),
)

_OF_LAYER: tuple[tuple[str, str, Callable[[LayerHealth], float | None]], ...] = (
    ("flanpy_peer_rtt_seconds", "Last round trip to a peer.", lambda layer: layer.rtt),
    (
        "flanpy_peer_loss_ratio",
        "Share of probes to a peer without an answer.",
        lambda layer: layer.loss if layer.sent else None,
    ),
)
