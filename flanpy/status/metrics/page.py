"""The metrics page: what is answered to a scrape, made beside the event loop.

What the loop changes is gathered by it; all the rest is frozen, and rendered in a thread, one scrape at a time, so that
neither many peers nor many scrapers keep the reconciler waiting.
"""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client import exposition as prometheus
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

from flanpy.status.board import StatusSnapshot
from flanpy.status.metrics.collector import MoreCounts, registry

_REFUSED: Final = re.compile(r"q=0(\.0{0,3})?")
_LITTLE_EFFORT = 1
"""Most of gzip's gain for a fifth of its time."""


@dataclass(frozen=True, slots=True)
class ScrapeForm:
    """The form that a scraper accepts: its headers Accept and Accept-Encoding."""

    accept: str = ""
    encodings: str = ""


@dataclass(frozen=True, slots=True)
class RenderedPage:
    content_type: str
    body: bytes
    gzipped: bool


class MetricsPage:
    """Make it in a running event loop."""

    def __init__(self, snapshot: Callable[[], StatusSnapshot], more_counts: MoreCounts) -> None:
        self._snapshot = snapshot
        self._more_counts = more_counts
        self._turn = asyncio.Lock()

    async def answer(self, asked: ScrapeForm) -> RenderedPage:
        async with self._turn:
            snapshot, more = self._snapshot(), tuple(self._more_counts())
            return await asyncio.to_thread(render, snapshot, more, asked)


def render(snapshot: StatusSnapshot, more: Sequence[Metric], asked: ScrapeForm) -> RenderedPage:
    """The page of one moment, in the format and encoding asked for."""
    families = registry(lambda: snapshot, lambda: more)
    content_type, body = _page(families, asked.accept)
    gzipped = _takes(asked.encodings, "gzip")
    return RenderedPage(content_type, gzip.compress(body, _LITTLE_EFFORT) if gzipped else body, gzipped)


def _page(families: CollectorRegistry, accept: str) -> tuple[str, bytes]:
    """OpenMetrics for who names it.

    All our names are valid as they are, so whichever way of escaping others was asked for, the page is the same. To
    allow anything is the quick one: the usual looks at every letter of every sample.
    """
    if _takes(accept, "application/openmetrics-text"):
        page = openmetrics.generate_latest(families, openmetrics.ALLOWUTF8)  # type: ignore[no-untyped-call]
        return openmetrics.CONTENT_TYPE_LATEST, page
    return prometheus.CONTENT_TYPE_PLAIN_0_0_4, prometheus.generate_latest(families, openmetrics.ALLOWUTF8)


def _takes(header: str, name: str) -> bool:
    """Tell whether a header names `name` without refusing it by a quality of 0 (RFC 9110, 12.4.2)."""
    for offer in header.lower().split(","):
        offered, *parameters = (word.strip() for word in offer.split(";"))
        if offered == name:
            return not any(_REFUSED.fullmatch(parameter) for parameter in parameters)
    return False
