"""Samples of output on pages are the program's own, and options are printed as they are typed."""

from __future__ import annotations

import re

import pytest

from docs import conf
from flanpy.cli.base.output import plain_table
from flanpy.cli.look.mesh import MeshDocument
from flanpy.model.problem import PROBLEMS
from integration.pages import commands
from tests.docs.reader import ROOT, shows

DOCS = ROOT / "docs"
FRONT = DOCS / "index.md"


def _samples(page: str) -> list[str]:
    return re.findall(r"```text\n(.*?)```", page, re.DOTALL)


def test_matrix_of_the_front_page_is_what_ping_all_prints() -> None:
    (sample,) = _samples(FRONT.read_text())
    head, *lines = sample.splitlines()
    names = head.split()[3:]
    rows = [
        {"from": line.split()[0], "to": to, "reach": "reachable", "rtt_ms": float(cell)}
        for line in lines
        for to, cell in zip(names, line.split()[1:], strict=True)
        if cell != "."
    ]
    assert plain_table(MeshDocument({"nodes": names, "rows": rows}).table()) == sample


def test_front_page_counts_the_problems_that_doctor_knows() -> None:
    found = re.search(r"knows \[(\d+) problems\]", FRONT.read_text())
    assert found
    assert int(found[1]) == len(PROBLEMS)


def test_front_page_has_few_links_and_each_once() -> None:
    links = re.findall(r"\]\(([^)]+\.md)\)", FRONT.read_text())
    assert len(links) <= 25
    assert [link for link in set(links) if links.count(link) > 2] == []


@pytest.mark.parametrize(
    ("printed", "sample", "same"),
    [
        ("HOST  SUBNET\nh1  10.50.7.0/24\n", "HOST     SUBNET\nhost1  10.50.9.0/24", True),
        ("HOST  SUBNET  OWN\n", "HOST  SUBNET", False),
        ("PING\n64 bytes from 10.50.7.2: seq=1 time=0.9 ms", "64 bytes from 10.50.23.2: seq=0 time=0.412 ms", True),
        ("anything", "", True),
    ],
)  # fmt: skip
def test_sample_is_compared_but_for_its_figures(printed: str, sample: str, same: bool) -> None:
    assert shows(printed, sample) is same


def test_sample_belongs_to_the_commands_before_it() -> None:
    page = (DOCS / "tutorial/two-hosts.md").read_text()
    shown = {block.text: block.shows for block in commands(page) if block.shows}
    assert shown["flanpyctl subnets"].startswith("HOST ")
    assert len(shown) == len(_samples(page))


def test_dashes_are_printed_as_typed() -> None:
    """An option that is copied from a page has two of them."""
    assert conf.smartquotes is False


@pytest.mark.parametrize("page", sorted(DOCS.glob("tutorial/*.md")))
def test_every_step_says_on_which_host(page: object) -> None:
    text = (ROOT / str(page)).read_text()
    blocks = [block for block in commands(text) if block.places]
    source = [text]
    conf._said_where(None, "", source)  # type: ignore[arg-type]  # Sphinx's application is not asked
    captions = re.findall(r":caption: (?:on|in) (.+)", source[0])
    assert len(captions) == len(blocks)


def test_smallest_label_of_every_drawn_chart_has_eleven_pixels_on_its_page() -> None:
    (width,) = re.findall(
        r"\.wide\.chart img \{ width: (\d+)rem; \}", (DOCS / "static/pages.css").read_text()
    )
    page = (DOCS / "explanation/chaos.md").read_text()
    charts = re.findall(r"\{container\} wide chart\n```\{image\} \.\./pictures/(\w+\.svg)", page)
    assert charts == ["chaos.svg", "soak.svg"]
    for name in charts:
        drawing = (DOCS / "pictures" / name).read_text()
        (across,) = re.findall(r'viewBox="0 0 ([\d.]+) ', drawing)
        smallest = min(map(float, re.findall(r"font-size: ([\d.]+)px", drawing)))
        assert smallest * int(width) * 16 / float(across) >= 11, name
