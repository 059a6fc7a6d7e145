"""The probed targets: a track for each, found by its addresses and by its peer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from flanpy.model.address import Family, IPAddress
from flanpy.model.lease import SubnetKey
from flanpy.model.reach import Layer
from flanpy.probe.target import Target
from flanpy.probe.track import Track


class Roster:
    """Follows the targets."""

    def __init__(self) -> None:
        self._number = 0
        self._seen: tuple[Target, ...] = ()
        self._tracks: dict[Target, Track] = {}
        self._overlay: Mapping[IPAddress, Track] = {}
        self._underlay: Mapping[IPAddress, Track] = {}
        self.by_key: Mapping[SubnetKey, list[Track]] = {}
        self.families: frozenset[Family] = frozenset()

    @property
    def tracks(self) -> Collection[Track]:
        return self._tracks.values()

    def follow(self, targets: tuple[Target, ...]) -> None:
        """Forget peers that went; one that changed its address is another target."""
        if targets is self._seen:
            return
        self._seen = targets
        self._tracks = {target: self._known(target) or self._new(target) for target in targets}
        self.families = frozenset(target.family for target in targets)
        by_key: dict[SubnetKey, list[Track]] = {}
        for track in self.tracks:
            by_key.setdefault(track.target.key, []).append(track)
        self.by_key = by_key
        self._underlay = {track.target.underlay: track for track in self.tracks}
        self._overlay = {track.target.overlay: track for track in self.tracks}

    def find(self, sender: IPAddress) -> tuple[Track, Layer] | None:
        """Find the track with this address, and the path the address is on."""
        if (track := self._overlay.get(sender)) is not None:
            return track, Layer.OVERLAY
        return (track, Layer.UNDERLAY) if (track := self._underlay.get(sender)) is not None else None

    def is_cut_off(self) -> bool:
        """Report whether no peer at all answers over the underlay, though there are several."""
        return len(self._tracks) > 1 and not any(
            track.underlay.silence == 0 and track.underlay.ever for track in self.tracks
        )

    def _known(self, target: Target) -> Track | None:
        """Return the track of a target that was followed before; its host may have another name now."""
        track = self._tracks.get(target)
        if track is not None:
            track.target = target
        return track

    def _new(self, target: Target) -> Track:
        self._number += 1
        return Track.of(target, self._number)
