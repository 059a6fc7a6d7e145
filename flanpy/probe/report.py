"""Puts together what is shown of a peer from what was seen of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from flanpy.clock import Clock
from flanpy.model.lease import SubnetKey
from flanpy.model.reach import Layer, PeerReach, Reach, Trouble
from flanpy.probe.diagnosis import Evidence, LocalFaults, diagnose
from flanpy.probe.roster import Roster
from flanpy.probe.target import Target
from flanpy.probe.track import Track

LocalFaultsOf = Callable[[Target], LocalFaults]

_BADNESS: Final = {Reach.REACHABLE: 0, Reach.UNKNOWN: 1, Reach.LOSSY: 2, Reach.UNREACHABLE: 3}


def peer_reach(track: Track, *, here: str, alone: bool, local_faults: LocalFaults, now: float) -> PeerReach:
    """One family of a peer, as of now (monotonic)."""
    target, mtu = track.target, track.size.found
    seen = evidence(track, here=here, alone=alone, local_faults=local_faults, now=now)
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
        host=target.host,
    )


def evidence(track: Track, *, here: str, alone: bool, local_faults: LocalFaults, now: float) -> Evidence:
    """Return a track's observations as evidence."""
    target, over, under = track.target, track.overlay, track.underlay
    return Evidence(
        here=here,
        peer=target.name,
        address=str(target.underlay),
        reach=track.reach,
        port=target.port,
        beneath=under.ever and under.silence == 0,
        tcp=track.tcp,
        ignores_pings=track.ignores_pings,
        alone=alone,
        ever=over.ever or under.ever,
        heard=track.hears(Layer.OVERLAY, now),
        heard_beneath=track.hears(Layer.UNDERLAY, now),
        is_heard=track.is_heard(now),
        errno=over.errno,
        errno_beneath=under.errno,
        refused=over.refused,
        refused_beneath=under.refused,
        loss=over.loss,
        loss_beneath=under.loss,
        mtu=track.size.found,
        local_faults=local_faults,
    )


def worst(one: PeerReach | None, other: PeerReach) -> PeerReach:
    """Of two families of a peer the one that is reached worse; of equals the first."""
    if one is None:
        return other
    return other if _rank(other) > _rank(one) else one


def _rank(peer: PeerReach) -> tuple[int, bool]:
    return _BADNESS[peer.reach], peer.diagnosis.trouble is not Trouble.NONE


class Shown:
    """Each peer as last reported. Only peers probed since are recomputed: a thousand peers take milliseconds."""

    def __init__(self, roster: Roster, *, here: str, local_faults_of: LocalFaultsOf, clock: Clock) -> None:
        self._roster = roster
        self._here = here
        self._local_faults_of = local_faults_of
        self._clock = clock
        self._stale: set[SubnetKey] = set()
        self._peers: dict[SubnetKey, PeerReach] = {}

    def stale(self, tracks: Iterable[Track]) -> None:
        """These were asked."""
        self._stale.update(track.target.key for track in tracks)

    def peers(self) -> dict[SubnetKey, PeerReach]:
        """As of now. Of the families of a peer the worse one tells."""
        by_key = self._roster.by_key
        found = {key: peer for key, peer in self._peers.items() if key in by_key}
        alone = self._roster.is_cut_off()
        for key in self._stale & by_key.keys():
            reached = self._reached(by_key[key], alone=alone)
            if reached is not None:
                found[key] = _since(reached, found.get(key), self._clock.wall())
        self._stale.clear()
        self._peers = found
        return dict(found)

    def _reached(self, tracks: Iterable[Track], *, alone: bool) -> PeerReach | None:
        now, reached = self._clock.monotonic(), None
        for track in (each for each in tracks if each.rounds):
            local_faults = self._local_faults_of(track.target)
            one = peer_reach(track, here=self._here, alone=alone, local_faults=local_faults, now=now)
            reached = worst(reached, one)
        return reached


def _since(peer: PeerReach, before: PeerReach | None, wall: float) -> PeerReach:
    """With the time of its last change."""
    same = before is not None and (before.reach, before.diagnosis.trouble) == (
        peer.reach,
        peer.diagnosis.trouble,
    )
    return replace(peer, changed_at=before.changed_at if same and before is not None else wall)
