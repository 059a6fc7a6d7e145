"""Has peers check whether packets come whole whose checksum was left to this host's network card, and does so for them.

A set of datagrams goes to a peer now and then; the peer says of each that came whether it came whole, in an echo
request that carries the sender's own mark. Peers that are not known to run flanpy are sent nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from flanpy.clock import Clock
from flanpy.errors import KernelError
from flanpy.log import get_logger
from flanpy.model.address import Family, IPAddress
from flanpy.model.reach import Layer, Reach
from flanpy.outage import Transition
from flanpy.probe.ear import TunnelEntry
from flanpy.probe.line import Find
from flanpy.probe.payload import Checked, Make, Piece
from flanpy.probe.payload_port import Judged, PayloadPort
from flanpy.probe.track import Track

log = get_logger()

OpenPort = Callable[[IPAddress, TunnelEntry, Judged], PayloadPort]
Own = Mapping[Family, tuple[IPAddress, TunnelEntry]]
"""This host's addresses in an overlay whose device may leave checksums to the card, and where its tunnel ends."""

CHECKS: Final = 8
"""Peers that are sent a set in one round at most."""

EVERY: Final = 9
"""Askings over the overlay between two sets to a peer of which nothing new is expected."""


class Checking:
    """`answer` tells a sender of its datagram; `corrupted` takes the peers, by name, that got ours so."""

    def __init__(
        self,
        *,
        clock: Clock,
        boot: int,
        port: int,
        find: Find,
        answer: Callable[[Track, Piece, bool], None],
        corrupted: Callable[[tuple[str, ...]], None],
        open_port: OpenPort = PayloadPort,
    ) -> None:
        self._clock = clock
        self._boot = boot
        self._port = port
        self._find = find
        self._answer = answer
        self._corrupted = corrupted
        self._open_port = open_port
        self._ports: dict[Family, PayloadPort] = {}
        self._outage = Transition()
        self._number = 0
        self.whole = 0
        self.broken = 0
        self._left = CHECKS

    def begin(self, own: Own) -> None:
        """Begin a round."""
        self._left = CHECKS
        if not self._port:
            return
        for family, port in list(self._ports.items()):
            if own.get(family) != (port.address, port.place):
                self._ports.pop(family).close()
        for family in own.keys() - self._ports.keys():
            try:
                self._ports[family] = self._open_port(*own[family], self._came)
                self._outage.succeeded(self._clock.monotonic())
            except KernelError as error:
                if self._outage.failed(self._clock.monotonic(), reason=str(error)):
                    log.warning("checksums_unchecked", error=error)

    def close(self) -> None:
        for port in self._ports.values():
            port.close()
        self._ports.clear()

    def look(self, track: Track) -> None:
        """Send the peer a set if it is its turn."""
        if not self._left or not self._may(track):
            return
        checked = track.checked
        if checked is None or checked.wants_more or (track.rounds + track.number) % EVERY == 0:
            self._left -= 1
            self._send(track)

    def told(self, track: Track, number: int, *, whole: bool) -> None:
        """Take a peer's word on one of ours; the rest of a set follows its control."""
        checked = track.checked
        verdict = checked.tell(number, whole=whole) if checked is not None else None
        if checked is not None and checked.is_due:
            checked.follow(self._sent(track, (Make.CARD, Make.CARD_CUT)))
        if checked is None or verdict is None:
            return
        self.whole += verdict
        self.broken += not verdict
        if verdict:
            return
        if checked.is_convinced:
            self._corrupted((track.target.node_id or str(track.target.key),))
        else:
            self._send(track)

    def _may(self, track: Track) -> bool:
        is_tunnel = bool(track.target.port) and track.target.family in self._ports
        return is_tunnel and track.heard is not None and track.reach in {Reach.REACHABLE, Reach.LOSSY}

    def _send(self, track: Track) -> None:
        track.checked = track.checked or Checked()
        track.checked.begin(self._sent(track, (Make.KERNEL,)))

    def _sent(self, track: Track, makes: Iterable[Make]) -> dict[int, Make]:
        """Send the peer these, and return those that went out."""
        port, target = self._ports.get(track.target.family), track.target
        sent: dict[int, Make] = {}
        if port is None:
            return sent
        for make in makes:
            self._number = (self._number + 1) & 0xFFFFFFFF
            if port.send(target.overlay, make, self._boot, self._number, size=target.wanted):
                sent[self._number] = make
        return sent

    def _came(self, sender: IPAddress, piece: Piece, whole: bool) -> None:
        found = self._find(sender)
        if found is not None and found[1] is Layer.OVERLAY:
            self._answer(found[0], piece, whole)
