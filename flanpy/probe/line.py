"""The line to the peers: sends probes, and takes in answers, requests of theirs and refusals.

One socket a family, whatever the number of peers; a callback takes answers whenever they come, and passes them to the
batch that waits for them and to the track. Round trips are of the monotonic clock; wall time only labels them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from flanpy.clock import Clock
from flanpy.errors import KernelError
from flanpy.model.address import Family, IPAddress
from flanpy.model.histogram import ROUND_TRIPS, Histogram
from flanpy.model.reach import Layer, Reach
from flanpy.probe.asking import Ask
from flanpy.probe.icmp import EchoRefused, EchoSocket
from flanpy.probe.packet import Incoming, PacketKind, Probe, least_size
from flanpy.probe.payload import Piece
from flanpy.probe.track import Track

LATE_S: Final = 60.0
"""How long an answer is waited for; later ones are no longer known."""

_BUSY: Final = frozenset({errno.ENOBUFS, errno.EAGAIN, errno.ENOMEM})

OpenSocket = Callable[[Family, Clock, Callable[[Incoming, float], None]], EchoSocket]
Find = Callable[[IPAddress], tuple[Track, Layer] | None]


@dataclass(frozen=True, slots=True)
class _Pending:
    """A probe on its way."""

    ask: Ask
    track: Track
    layer: Layer
    at: float
    size: int


class Line:
    """The sockets of the probes. `find` returns the track of an address.

    `doubt` is called when a peer hears us no more (it may have restarted, or a path be cut), or is heard again.
    `told` takes a peer's word on a datagram of ours: its number, and whether it came whole.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        boot: int,
        interval: Callable[[], float],
        find: Find,
        doubt: Callable[[], None],
        told: Callable[[Track, int, bool], None],
        open_socket: OpenSocket,
    ) -> None:
        self._clock = clock
        self._boot = boot
        self._interval = interval
        self._find = find
        self._doubt = doubt
        self._told = told
        self._open_socket = open_socket
        self._sockets: dict[Family, EchoSocket] = {}
        self._pending: dict[int, _Pending] = {}
        self._number = 0
        self.rtt = Histogram.of(ROUND_TRIPS)
        self.packets = 0

    def open(self, families: frozenset[Family]) -> str:
        """Open what lacks; says why nothing can be sent, "" if something can."""
        problem = ""
        for family in sorted(families - set(self._sockets)):
            try:
                self._sockets[family] = self._open_socket(family, self._clock, self._receive)
            except KernelError as error:
                problem = str(error)
        return "" if set(self._sockets) & families else problem

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()
        self._sockets.clear()

    # Out

    def send_sizes(self, ask: Ask, track: Track) -> None:
        """Packets of the sizes that tell how large a packet passes."""
        tried = ask.tried.setdefault(track.number, set())
        ask.got.setdefault(track.number, set())
        for size in track.size.sizes():
            if size > least_size(track.target.family) and self.send(ask, track, Layer.OVERLAY, size=size):
                tried.add(size)

    def send(self, ask: Ask, track: Track, layer: Layer, *, size: int = 0) -> bool:
        """Send one, and report whether it went out or was refused as too large, which is an answer too."""
        target = track.target
        sock = self._sockets.get(target.family)
        if sock is None:
            return False
        self._number = (self._number + 1) & 0xFFFFFFFF
        now = self._clock.monotonic()
        probe = Probe(self._boot, self._number, track.hears(Layer.OVERLAY, now), self._interval())
        address = target.overlay if layer is Layer.OVERLAY else target.underlay
        way = track.way(layer)
        try:
            sock.send(address, probe, size=size)
        except EchoRefused as refused:
            if refused.errno in _BUSY:
                return False  # it says nothing of the peer
            if refused.errno == errno.EMSGSIZE:
                return size > 0
            way.errno = refused.errno
            if not size:
                way.sent(self._number, now)
            return False
        self.packets += 1
        self._pending[self._number] = _Pending(ask, track, layer, now, size)
        if not size:
            way.sent(self._number, now)
        return True

    def answer(self, track: Track, piece: Piece, whole: bool) -> None:
        """Tell a peer how a datagram of its came."""
        sock = self._sockets.get(track.target.family)
        if sock is not None:
            heard = track.hears(Layer.OVERLAY, self._clock.monotonic())
            with suppress(EchoRefused):  # the next one is answered
                sock.send(
                    track.target.overlay, Probe(piece.boot, piece.number, heard, self._interval(), whole)
                )

    def forget_late(self) -> None:
        limit = self._clock.monotonic() - LATE_S
        for number, pending in list(self._pending.items()):
            if pending.at > limit:
                return
            del self._pending[number]

    # In

    def _receive(self, incoming: Incoming, at: float) -> None:
        match incoming.kind:
            case PacketKind.REQUEST:
                self._heard(incoming, at)
            case PacketKind.ANSWER:
                self._answered(incoming, at)
            case PacketKind.REFUSAL:
                self._refused(incoming)

    def _heard(self, incoming: Incoming, at: float) -> None:
        found = self._find(incoming.sender)
        if found is None:
            return
        track, layer = found
        if incoming.probe.boot == self._boot:
            if incoming.probe.whole is not None and layer is Layer.OVERLAY:
                self._told(track, incoming.probe.number, incoming.probe.whole)
            return
        heard_before = track.hears(layer, at)
        track.note_heard(layer, at)
        track.their_interval = incoming.probe.interval
        if layer is Layer.OVERLAY:
            track.heard_wall = self._clock.wall()
        lost = track.hears_us is not None and not incoming.probe.hears
        back = track.reach is Reach.UNREACHABLE and layer is Layer.OVERLAY and not heard_before
        if (lost or back) and track.may_doubt(at, self._interval()):
            track.doubted = True
            self._doubt()
        track.hears_us = at if incoming.probe.hears else None

    def _answered(self, incoming: Incoming, at: float) -> None:
        pending = self._own(incoming)
        if pending is None or incoming.sender != _address(pending):
            return
        del self._pending[incoming.probe.number]
        track = pending.track
        if pending.size:
            pending.ask.large_came(track, pending.size)
            return
        rtt = max(0.0, at - pending.at)
        track.way(pending.layer).answered(incoming.probe.number, rtt, self._clock.wall())
        if pending.layer is Layer.OVERLAY:
            track.mute = 0
            self.rtt = self.rtt.with_one(rtt)
        else:
            track.tcp = False
        pending.ask.came(track, pending.layer)

    def _refused(self, incoming: Incoming) -> None:
        pending = self._own(incoming)
        if pending is not None and incoming.prohibited:
            pending.track.way(pending.layer).refused = str(incoming.sender)

    def _own(self, incoming: Incoming) -> _Pending | None:
        return self._pending.get(incoming.probe.number) if incoming.probe.boot == self._boot else None


def _address(pending: _Pending) -> IPAddress:
    target = pending.track.target
    return target.overlay if pending.layer is Layer.OVERLAY else target.underlay
