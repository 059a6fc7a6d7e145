"""The text of `flanpyctl trace`: the verdict first, then the hops; what passes is brief without -v."""

from __future__ import annotations

import pytest

from flanpy.cli.look.trace import print_walk
from flanpy.trace.hop import Hop, HopVerdict, Place, Walk
from flanpy.trace.seen import Direction

PASSES = Hop(Place.LEASE, HopVerdict.PASSES, "10.50.2.0/24 of web-2", ("lease 77",))
DIES = Hop(Place.ROUTE, HopVerdict.DIES, "no route", ("ip route get said nothing",), "restart flanpyd")
UNKNOWN = Hop(Place.UNDERLAY, HopVerdict.UNKNOWN, "not read")


def _walk(*hops: Hop) -> Walk:
    return Walk("10.50.2.2", "10.50.1.2", Direction.OUT, "", hops)


@pytest.mark.parametrize(
    ("hops", "first"),
    [
        ((PASSES, DIES), "a packet dies at hop 2, route"),
        ((PASSES, PASSES), "a packet gets through: 2 hops"),
        ((PASSES, UNKNOWN), "a packet would pass, as far as could be read: 2 hops"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verdict_stands_first(hops: tuple[Hop, ...], first: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_walk(_walk(*hops), verbose=False)
    assert capsys.readouterr().out.splitlines()[0].endswith(first)


def test_evidence_of_what_passes_is_told_with_v_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_walk(_walk(PASSES, DIES), verbose=False)
    brief = capsys.readouterr().out
    print_walk(_walk(PASSES, DIES), verbose=True)
    full = capsys.readouterr().out
    assert "lease 77" not in brief
    assert "lease 77" in full
    for text in (brief, full):
        assert "ip route get said nothing" in text
        assert "Fix: restart flanpyd" in text
