"""The look at the host's tuning: published when it changes, at a calm pace, and what happened lately."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from flanpy.daemon.looks.tuning_watch import (
    INTERVAL_S,
    LATELY_S,
    LIVELY_INTERVAL_S,
    GrowthWindow,
    TuningWatch,
)
from flanpy.model.tuning import HostTuning
from flanpy.reconcile.outcome import Pass
from tests.fakes.clock import FakeClock
from tests.status.passes import passed

DEADLINE_S = 60.0


def test_growth_is_that_of_the_last_while() -> None:
    window = GrowthWindow()
    assert window.growth((100, 7), 0.0) == (0, 0), "what was before the first look did not happen lately"
    assert window.growth((103, 7), 10.0) == (3, 0)
    assert window.growth((103, 8), LATELY_S) == (3, 1)
    assert window.growth((103, 8), 10.0 + LATELY_S) == (0, 1)
    assert window.growth((103, 8), 2 * LATELY_S) == (0, 0)


def test_growth_starts_over_when_there_are_other_counters_and_never_is_negative() -> None:
    window = GrowthWindow()
    window.growth((100,), 0.0)
    assert window.growth((5, 5), 1.0) == (0, 0)
    assert window.growth((4, 9), 2.0) == (0, 4)


@dataclass
class Settings:
    """Settings of a host, by path; the real neighbour tables and counters are read beside them."""

    values: dict[str, str] = field(default_factory=dict)
    reads: int = 0

    def read(self, path: str) -> str | None:
        self.reads += 1
        return self.values.get(path)

    def write(self, path: str, value: str) -> None:
        raise AssertionError(f"{path} was to be left alone")


@dataclass
class Watched:
    clock: FakeClock
    settings: Settings
    noted: list[HostTuning]
    last: Pass | None = None

    async def looks(self, count: int, interval: float) -> None:
        """Let time pass until so many more looks were taken."""
        async with asyncio.timeout(DEADLINE_S):
            before = self.settings.reads
            for _ in range(count):
                await self.clock.advance(interval)
                while self.clock.sleepers == 0:  # noqa: ASYNC110, a netlink answer is not on the fake clock
                    await asyncio.sleep(0.01)
            assert self.settings.reads > before


@asynccontextmanager
async def _watching(last: Pass | None) -> AsyncIterator[Watched]:
    watched = Watched(FakeClock(), Settings(), [], last)
    watch = TuningWatch(
        clock=watched.clock,
        last=lambda: watched.last,
        note=watched.noted.append,
        sysctls=watched.settings,
    )
    task = asyncio.create_task(watch.run())
    try:
        await asyncio.sleep(0.01)
        yield watched
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.mark.asyncio
async def test_nothing_is_looked_at_before_the_backend_is_planned() -> None:
    async with _watching(None) as watched:
        await watched.clock.advance(60)
        assert (watched.noted, watched.settings.reads) == ([], 0)
        watched.last = passed()
        await watched.looks(1, LIVELY_INTERVAL_S)
        assert len(watched.noted) == 1


@pytest.mark.asyncio
async def test_look_is_published_when_it_differs_and_taken_more_often_while_our_link_is_strict() -> None:
    rp_filter = "net/ipv4/conf/flannel.1/rp_filter"
    async with _watching(passed()) as watched:
        await watched.looks(1, INTERVAL_S)
        first = watched.noted[-1]
        assert first.reverse_path.strict == ()
        assert first.neighbours[0].needed == 2, "both peers are on the link"
        watched.settings.values[rp_filter] = "1"
        await watched.looks(1, INTERVAL_S)
        assert list(watched.noted[-1].reverse_path.strict) == ["flannel.1"]
        watched.settings.values[rp_filter] = "2"
        await watched.looks(1, LIVELY_INTERVAL_S)
        assert list(watched.noted[-1].reverse_path.strict) == []
