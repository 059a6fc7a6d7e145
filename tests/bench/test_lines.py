"""The measuring of traffic: what is counted is what came, and the search ends at the highest rate without loss."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import cast

import pytest

from bench import parts, record
from bench.figures import figure
from bench.lanes import Lane
from bench.path import Line
from bench.udp_packets import HIGHEST, LOST, highest
from tests.netns import namespace


class LossyLane:
    """Loses all that is more than `limit` a second; its sender reaches `fastest`. The n-th tries of `unlucky` fail."""

    def __init__(self, limit: float, *, fastest: float = 1e9, unlucky: tuple[int, ...] = ()) -> None:
        self.limit, self.fastest, self.unlucky = limit, fastest, unlucky
        self.tries = 0
        self.line = self

    def paced(self, rate: float, seconds: float) -> tuple[float, float]:
        assert seconds > 0
        self.tries += 1
        sent = min(rate, self.fastest)
        lost = 0.5 if self.tries in self.unlucky else max(0.0, 1 - self.limit / sent)
        return sent, lost


def _highest(lane: LossyLane) -> float:
    return highest(cast(Lane, lane), 1.0)


@pytest.mark.parametrize("limit", [20e3, 77e3, 333e3])
def test_search_comes_near_to_the_highest_rate_without_loss(limit: float) -> None:
    found = _highest(LossyLane(limit))
    assert limit - HIGHEST / 2**6 <= found <= limit * (1 + 2 * LOST)


def test_search_reports_what_was_really_sent_where_the_sender_is_slower() -> None:
    assert _highest(LossyLane(1e9, fastest=150e3)) == 150e3


def test_search_forgives_one_bad_try_and_says_nothing_passes_where_nothing_does() -> None:
    assert _highest(LossyLane(300e3, unlucky=(1,))) > 290e3
    assert _highest(LossyLane(0.0)) == 0.0


def test_every_part_has_a_module_that_measures_and_a_title() -> None:
    for name, module in parts.NAMES.items():
        assert callable(import_module(f"bench.{module}").measure)
        assert name in parts.TITLES


def test_picture_is_drawn_whatever_was_measured(tmp_path: Path) -> None:
    draw = import_module("bench.plot").draw
    udp = [
        figure("udp-tcp.whole.kernel", "TCP", "Gbit/s", [9.0, 8.0]),
        figure("udp-tcp.whole.kernel_ratio", "ratio", "x", [1.1, 1.2], at_least=1.0),
        figure("udp-ping.bare", "ping", "ms", 0.02),
    ]
    for several in ([], udp):
        draw(record.document(several, record.machine(), quick=True), tmp_path / "picture.png")
        assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def line() -> Iterator[Line]:
    with namespace("line") as here:
        here.ip("link set lo up")
        yield Line(here.name, here.name, "127.0.0.1")


@pytest.mark.netns
def test_datagrams_that_came_are_counted_and_none_is_lost_at_a_low_rate(line: Line) -> None:
    sent, lost = line.paced(1000, 0.5)
    assert sent > 0
    assert lost == 0


@pytest.mark.netns
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_rate_of_a_line_is_what_arrived(line: Line, protocol: str) -> None:
    assert line.rate(protocol, 0.3) > 0
