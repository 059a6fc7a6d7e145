"""Sends the page's document to every browser that has it open: when it changed, and at most once a second.

Owns who listens. There is no queue: each listener takes the newest document when it is ready for one, and one that
takes nothing for a while is dropped. While nobody listens nothing is done at all.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from flanpy.clock import Clock, set_within

MOST_LISTENERS: Final = 16
INTERVAL: Final = 1.0
"""Seconds from one document to the next, at least."""
BEAT: Final = 15.0
"""Seconds of silence after which listeners get a sign that nothing changed."""
PATIENCE: Final = 10.0
"""Seconds in which a listener must have taken what it was sent."""


class Sink(Protocol):
    """The destination of one listener's bytes; `write` returns once they are on their way."""

    async def write(self, text: bytes) -> None: ...


async def _no_sample() -> None:
    """Note nothing, where nothing is measured."""


def _no_pair(_one: str, _other: str) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Feed:
    """`stamp` is cheap, and another object if the document may differ; `document` makes it.

    `sample` notes now and then how all directions are; `pair` gives two hosts' last day (see `Day.pair`).
    """

    stamp: Callable[[], object]
    document: Callable[[], Awaitable[dict[str, Any]]]
    sample: Callable[[], Awaitable[None]] = _no_sample
    pair: Callable[[str, str], dict[str, Any]] = _no_pair


class Stream:
    """`serve` once per listener; a task of its own looks for changes while there is one."""

    def __init__(self, feed: Feed, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._news: dict[asyncio.Event, bytes] = {}
        self._looking: asyncio.Task[None] | None = None
        self._text = b""
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._news)

    @property
    def is_full(self) -> bool:
        return self._closed or self.listeners >= MOST_LISTENERS

    async def serve(self, sink: Sink) -> None:
        """Until the stream closes or the listener is lost or too slow (TimeoutError)."""
        wake = asyncio.Event()
        self._news[wake] = b""
        try:
            if self._looking is None:
                self._text = b""  # of long ago
                self._looking = asyncio.create_task(self._look(), name="page-stream")
                self._looking.add_done_callback(lambda _: self._wake_all())
            elif self._text:
                self._tell(wake, self._text)
            while not self._closed:
                await set_within(wake, self._clock, BEAT)
                wake.clear()
                self._raise_trouble()
                text, self._news[wake] = self._news[wake], b""
                async with asyncio.timeout(PATIENCE):
                    await sink.write(text or self._beat())
        finally:
            del self._news[wake]
            if not self._news:
                await self._rest()

    async def close(self) -> None:
        """Let all listeners go."""
        self._closed = True
        self._wake_all()
        await self._rest()

    def _raise_trouble(self) -> None:
        """Raise the error that ended the making of documents: it ends the listeners, too."""
        if self._looking is not None and self._looking.done():
            self._looking.result()

    def _wake_all(self) -> None:
        for wake in self._news:
            wake.set()

    async def _rest(self) -> None:
        task, self._looking = self._looking, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _look(self) -> None:
        stamp: object = None
        while True:
            if (new := self._feed.stamp()) is not stamp:
                stamp = new
                await self._publish()
            await self._clock.sleep(INTERVAL)

    async def _publish(self) -> None:
        document = await self._feed.document()
        text = _frame("status", await asyncio.to_thread(_dumps, document))
        if text == self._text:
            return
        self._text = text
        for wake in self._news:
            self._tell(wake, text)

    def _tell(self, wake: asyncio.Event, text: bytes) -> None:
        self._news[wake] = text
        wake.set()

    def _beat(self) -> bytes:
        """A comment keeps proxies from closing the line; the event tells the page that we live, and the time."""
        return b": beat\n" + _frame("beat", str(round(self._clock.wall())))


def _frame(event: str, text: str) -> bytes:
    return f"event: {event}\ndata: {text}\n\n".encode()


def _dumps(document: dict[str, Any]) -> str:
    """One line: JSON has no raw line breaks, and SSE ends a field at each."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True)
