"""The stream: at most once a second, only what changed, nothing while nobody listens, and nobody may hold it up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from flanpy.page import stream as stream_module
from flanpy.page.stream import BEAT, INTERVAL, MOST_LISTENERS, Feed, Stream
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.asyncio

DEADLINE_S = 60.0


class Source:
    """A document that counts how often it was made. Each `set` is a new snapshot."""

    def __init__(self) -> None:
        self.made = 0
        self.set(1)

    def set(self, value: object) -> None:
        self._document = {"value": value}

    async def document(self) -> dict[str, Any]:
        self.made += 1
        return self._document

    @property
    def feed(self) -> Feed:
        return Feed(lambda: self._document, self.document)


class Sink:
    def __init__(self) -> None:
        self.frames: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, text: bytes) -> None:
        await self.open.wait()
        self.frames.append(text.decode())

    @property
    def documents(self) -> list[str]:
        return [frame for frame in self.frames if frame.startswith("event: status")]


@asynccontextmanager
async def _listening(stream: Stream) -> AsyncIterator[Sink]:
    sink = Sink()
    task = asyncio.create_task(stream.serve(sink))
    try:
        yield sink
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _until(clock: FakeClock, condition: Callable[[], bool], step: float = INTERVAL) -> None:
    """Real threads make the text: let both kinds of time pass."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await clock.advance(step)
            await asyncio.sleep(0.005)


async def test_document_comes_at_once_and_again_only_when_it_differs() -> None:
    clock, source = FakeClock(), Source()
    stream = Stream(source.feed, clock)
    async with _listening(stream) as sink:
        await _until(clock, lambda: len(sink.documents) == 1, 0)
        await clock.advance(INTERVAL * 3)
        assert source.made == 1  # the snapshot is the same: not even made
        source.set(1)
        await _until(clock, lambda: source.made == 2)
        source.set(2)
        await _until(clock, lambda: len(sink.documents) == 2)
    assert sink.documents[0] == 'event: status\ndata: {"value":1}\n\n'
    assert sink.documents[1] == 'event: status\ndata: {"value":2}\n\n'


async def test_changes_within_a_second_are_one_document() -> None:
    clock, source = FakeClock(), Source()
    stream = Stream(source.feed, clock)
    async with _listening(stream) as sink:
        await _until(clock, lambda: len(sink.documents) == 1, 0)
        for value in range(2, 50):
            source.set(value)
            await clock.advance(INTERVAL / 100)
        await _until(clock, lambda: '"value":49' in sink.documents[-1])
        assert len(sink.documents) <= 3


async def test_silence_is_broken_by_a_comment_and_the_time() -> None:
    clock, source = FakeClock(), Source()
    stream = Stream(source.feed, clock)
    async with _listening(stream) as sink:
        await _until(clock, lambda: len(sink.documents) == 1, 0)
        await _until(clock, lambda: len(sink.frames) == 2, BEAT)
        assert sink.frames[1].startswith(": beat\nevent: beat\ndata: 17000")


async def test_nothing_is_looked_at_while_nobody_listens() -> None:
    clock, source = FakeClock(), Source()
    stream = Stream(source.feed, clock)
    await clock.advance(10)
    async with _listening(stream) as sink:
        await _until(clock, lambda: len(sink.documents) == 1, 0)
    source.set(2)
    await clock.advance(10)
    assert source.made == 1
    assert (stream.listeners, clock.sleepers) == (0, 0)
    async with _listening(stream) as sink:
        await _until(clock, lambda: sink.documents != [], 0)
    assert '"value":2' in sink.documents[0]


async def test_second_listener_is_told_at_once_without_making_it_again() -> None:
    clock, source = FakeClock(), Source()
    stream = Stream(source.feed, clock)
    async with _listening(stream) as first:
        await _until(clock, lambda: len(first.documents) == 1, 0)
        async with _listening(stream) as second:
            await _until(clock, lambda: len(second.documents) == 1, 0)
    assert source.made == 1


async def test_slow_listener_misses_documents_and_keeps_nobody_waiting() -> None:
    clock, source = FakeClock(), Source()
    stream = Stream(source.feed, clock)
    async with _listening(stream) as slow, _listening(stream) as quick:
        await _until(clock, lambda: len(slow.documents) == len(quick.documents) == 1, 0)
        slow.open.clear()
        for value in (2, 3, 4):
            source.set(value)
            await _until(clock, lambda value=value: f'"value":{value}' in quick.documents[-1])  # type: ignore[misc]
        slow.open.set()
        await _until(clock, lambda: '"value":4' in slow.documents[-1])
        assert len(slow.documents) <= 3


async def test_listener_that_takes_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "PATIENCE", 0.05)
    stream = Stream(Source().feed, FakeClock())
    sink = Sink()
    sink.open.clear()
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(TimeoutError):
            await stream.serve(sink)
    assert stream.listeners == 0


async def test_stream_is_full_at_its_bound_and_after_it_closed() -> None:
    stream = Stream(Source().feed, FakeClock())
    tasks = [asyncio.create_task(stream.serve(Sink())) for _ in range(MOST_LISTENERS)]
    await asyncio.sleep(0)
    assert stream.is_full
    await stream.close()
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*tasks)
    assert stream.listeners == 0
    assert stream.is_full


async def test_trouble_with_the_document_ends_the_listeners() -> None:
    async def broken() -> dict[str, Any]:
        raise RuntimeError("no document")

    stream = Stream(Feed(lambda: 1, broken), FakeClock())
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(RuntimeError, match="no document"):
            await stream.serve(Sink())
