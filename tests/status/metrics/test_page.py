"""The metrics page: which format to whom, and that making it keeps nobody waiting."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from flanpy.status.metrics.families import gauge
from flanpy.status.metrics.page import MetricsPage, ScrapeForm, render
from tests.status.passes import WELL
from tests.status.samples import shown

WELL_SHOWN = shown(WELL)

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""What Prometheus 2 sends."""


@pytest.mark.parametrize(
    "accept", [PROMETHEUS, "application/openmetrics-text", "application/openmetrics-text; version=1.0.0"]
)
def test_openmetrics_is_for_who_names_it_and_ends_with_its_mark(accept: str) -> None:
    answer = render(WELL_SHOWN, (), ScrapeForm(accept))
    assert answer.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.body.endswith(b"\n# EOF\n")
    assert list(read_openmetrics(answer.body.decode()))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "accept",
    [
        "", "*/*", "text/plain;version=0.0.4", "text/html", "application/openmetrics-text;q=0",
        "application/openmetrics-text; version=1.0.0; q=0.000, text/plain",
    ],
)  # fmt: skip
def test_plain_text_is_for_everybody_else(accept: str) -> None:
    answer = render(WELL_SHOWN, (), ScrapeForm(accept))
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b"# EOF" not in answer.body
    assert "flanpy_ready" in {family.name for family in read_plain(answer.body.decode())}


def test_gzip_is_for_who_takes_it() -> None:
    packed = render(WELL_SHOWN, (), ScrapeForm(encodings="gzip, deflate"))
    assert packed.gzipped
    assert b"flanpy_ready 1.0\n" in gzip.decompress(packed.body)
    for refused in ("br", "gzip;q=0", "gzip ; q=0.0, br"):
        assert not render(WELL_SHOWN, (), ScrapeForm(encodings=refused)).gzipped


class Waiting(Metric):
    """Can be rendered only once the event loop has turned meanwhile."""

    turned = threading.Event()
    saw_turn = False

    def __getattribute__(self, name: str) -> Any:
        if name == "samples":
            Waiting.saw_turn = Waiting.turned.wait(30)
        return super().__getattribute__(name)


@pytest.mark.asyncio
async def test_page_is_made_beside_the_event_loop_and_counts_are_gathered_by_it() -> None:
    gathered_by: list[int] = []
    running = asyncio.get_running_loop()

    def more() -> Iterator[Metric]:
        gathered_by.append(threading.get_ident())
        running.call_later(0.01, Waiting.turned.set)
        yield gauge("flanpy_more", "One more.", 1)
        yield Waiting("flanpy_waiting", "Waits.", "gauge")

    answer = await MetricsPage(lambda: WELL_SHOWN, more).answer(ScrapeForm())
    assert b"flanpy_more 1.0\n" in answer.body
    assert gathered_by == [threading.get_ident()]
    assert Waiting.saw_turn


class Slow(Metric):
    """Takes its time to be rendered, and knows how many are at it."""

    now = most = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "samples":
            Slow.now += 1
            Slow.most = max(Slow.most, Slow.now)
            time.sleep(0.02)
            Slow.now -= 1
        return super().__getattribute__(name)


@pytest.mark.asyncio
async def test_many_scrapers_are_answered_one_after_the_other() -> None:
    page = MetricsPage(lambda: WELL_SHOWN, lambda: [Slow("flanpy_slow", "Slow.", "gauge")])
    answers = await asyncio.gather(*(page.answer(ScrapeForm()) for _ in range(5)))
    assert len({answer.content_type for answer in answers}) == 1
    assert Slow.most == 1
