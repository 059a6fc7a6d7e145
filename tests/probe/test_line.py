"""Words of peers that have them probed at once: as many as a cut and its end need, however many are forged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flanpy.model.address import Family, IPAddress
from flanpy.model.reach import Layer
from flanpy.probe.line import Line
from flanpy.probe.packet import Incoming, PacketKind, Probe
from flanpy.probe.track import DOUBTS, Track
from tests.fakes.clock import FakeClock
from tests.probe.worlds import target

INTERVAL = 10.0
Receive = Callable[[Incoming, float], None]


class Ear:
    """A socket on which nothing is sent."""

    def __init__(self, family: Family, clock: object, receive: Receive) -> None:
        self.receive = receive

    def close(self) -> None:
        pass


class Peers:
    """A line with two peers, and the times at which it doubted one of them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tracks = {target(number).overlay: Track.of(target(number), number) for number in (1, 2)}
        self.doubted: list[float] = []
        self.ears: list[Ear] = []
        line = Line(
            clock=FakeClock(), boot=1, interval=lambda: INTERVAL, find=self._find,
            doubt=lambda: self.doubted.append(self.now), told=lambda *_: None, open_socket=self._open,  # type: ignore[arg-type]
        )  # fmt: skip
        line.open(frozenset({target(1).family}))

    def _open(self, family: Family, clock: object, receive: Receive) -> Ear:
        self.ears.append(Ear(family, clock, receive))
        return self.ears[-1]

    def _find(self, sender: IPAddress) -> tuple[Track, Layer]:
        return self.tracks[sender], Layer.OVERLAY

    def says(self, number: int, at: float, *, hears: bool) -> None:
        self.now = at
        probe = Probe(boot=7, number=1, hears=hears, interval=INTERVAL)
        self.ears[0].receive(
            Incoming(kind=PacketKind.REQUEST, sender=target(number).overlay, probe=probe), at
        )


def test_peer_that_hears_us_no_more_is_doubted_at_once_and_again_in_the_next_interval() -> None:
    peers = Peers()
    for start in (0.0, INTERVAL, 2 * INTERVAL):
        peers.says(1, start, hears=True)
        peers.says(1, start + 1, hears=False)
    assert peers.doubted == [1.0, INTERVAL + 1, 2 * INTERVAL + 1]


@pytest.mark.parametrize("rate", [37, 370])
def test_forged_probes_raise_doubts_of_their_peer_by_its_interval_and_no_others(rate: int) -> None:
    peers = Peers()
    for tick in range(20 * rate):
        peers.says(1, tick / rate, hears=tick % 2 == 0)
    assert len(peers.doubted) <= DOUBTS * 2
    peers.says(2, 20.0, hears=True)
    peers.says(2, 20.5, hears=False)
    assert peers.doubted[-1] == 20.5
