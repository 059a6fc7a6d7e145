"""The operations that lead from one named world to another, as the `ip`, `bridge`, `ethtool` and `sysctl` lines of
`golden.txt`: `# <world>` from an empty kernel, `# <before> -> <after>` from what stands in another world.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from flanpy.model.objects import OtherLink, OtherRoute, Route, VxlanLink
from flanpy.model.ops import Delete
from flanpy.plan.render import describe, render
from tests.plan.pipeline import Run, desired_of
from tests.states import WORLDS


def _sections() -> dict[str, list[str]]:
    text = Path(__file__).with_name("golden.txt").read_text()
    blocks = (block.splitlines() for block in text.strip().split("\n\n"))
    return {lines[0].removeprefix("# "): lines[1:] for lines in blocks}


GOLDEN = _sections()


@pytest.mark.parametrize("title", GOLDEN)
def test_operations_are_the_golden_ones(title: str) -> None:
    before, _, last = title.rpartition(" -> ")
    run = Run()
    if before:
        run.step(WORLDS[before])
    assert [render(op) for op in run.step(WORLDS[last]).ops] == GOLDEN[title]


def test_every_object_of_every_world_can_be_described() -> None:
    for name in WORLDS:
        for obj in (desired_of(WORLDS[name]) or {}).values():
            assert "\n" not in describe(obj)


@pytest.mark.parametrize(
    ("obj", "line"),
    [
        (OtherLink("flannel.1", "dummy"), "ip link show flannel.1 type dummy"),
        (
            OtherRoute(IPv4Network("10.50.1.0/24"), "blackhole", proto=4),
            "ip route show blackhole 10.50.1.0/24 proto 4",
        ),
        (
            Route(
                IPv4Network("10.50.1.0/24"), "eth0", IPv4Address("192.0.2.1"), table=100, metric=7, proto=4
            ),
            "ip route show 10.50.1.0/24 via 192.0.2.1 dev eth0 proto 4 table 100 metric 7",
        ),
        (Route(IPv4Network("10.50.1.0/24"), "eth0"), "ip route show 10.50.1.0/24 dev eth0 proto 70"),
    ],
)
def test_foreign_objects_are_described_in_one_line(obj: OtherLink | OtherRoute | Route, line: str) -> None:
    assert describe(obj) == line


def test_deleted_link_is_named() -> None:
    link = (desired_of(WORLDS["alone"]) or {})["link", "flannel.1"]
    assert isinstance(link, VxlanLink)
    assert render(Delete(replace(link, name="old"))) == "ip link del old"
