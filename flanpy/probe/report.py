"""Puts together what is shown of a peer from what was seen of it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from flanpy.model.reach import PeerReach, Reach, Road, Trouble
from flanpy.probe.diagnosis import Evidence, Snags, diagnose
from flanpy.probe.target import Target
from flanpy.probe.track import Track

SnagsOf = Callable[[Target], Snags]

_BADNESS: Final = {Reach.REACHABLE: 0, Reach.UNKNOWN: 1, Reach.LOSSY: 2, Reach.UNREACHABLE: 3}


def peer_reach(track: Track, *, here: str, alone: bool, snags: Snags, now: float) -> PeerReach:
    """One family of a peer, as of now (monotonic)."""
    target, mtu = track.target, track.size.found
    seen = evidence(track, here=here, alone=alone, snags=snags, now=now)
    return PeerReach(
        key=target.key,
        node_id=target.node_id,
        public_ip=target.underlay,
        overlay_ip=target.overlay,
        reach=track.reach,
        diagnosis=diagnose(seen),
        overlay=track.overlay.health(),
        underlay=track.underlay.health(),
        mtu=mtu,
        heard_at=track.heard_wall,
    )


def evidence(track: Track, *, here: str, alone: bool, snags: Snags, now: float) -> Evidence:
    """What a track has seen."""
    target, over, under = track.target, track.overlay, track.underlay
    return Evidence(
        here=here,
        peer=target.node_id or str(target.key),
        address=str(target.underlay),
        reach=track.reach,
        port=target.port,
        beneath=under.ever and under.silent_rounds == 0,
        tcp=track.tcp,
        alone=alone,
        heard=track.hears(Road.OVERLAY, now),
        heard_beneath=track.hears(Road.UNDERLAY, now),
        is_heard=track.is_heard(now),
        errno=over.errno,
        errno_beneath=under.errno,
        refused=over.refused,
        refused_beneath=under.refused,
        loss=over.loss,
        loss_beneath=under.loss,
        mtu=track.size.found,
        snags=snags,
    )


def worst(one: PeerReach | None, other: PeerReach) -> PeerReach:
    """Of two families of a peer the one that is reached worse; of equals the first."""
    if one is None:
        return other
    return other if _rank(other) > _rank(one) else one


def _rank(peer: PeerReach) -> tuple[int, bool]:
    return _BADNESS[peer.reach], peer.diagnosis.trouble is not Trouble.NONE
