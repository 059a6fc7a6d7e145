"""The daemon's memory of events: it survives a restart, a disk without room, and a file that holds nonsense."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import structlog

from flanpy.daemon.event_memory import RETRY_INTERVAL, SAVE_PACE, EventMemory
from flanpy.host import events_file
from flanpy.model.event import EventKind, History
from flanpy.status.board import StatusBoard
from flanpy.status.events import Happening
from tests.fakes.clock import FakeClock

pytestmark = pytest.mark.asyncio

NODE = "h1"


class Run:
    """One run of the daemon, as far as events go."""

    def __init__(self, state_dir: Path) -> None:
        self.clock = FakeClock()
        self.board = StatusBoard(self.clock)
        self.memory = EventMemory(state_dir, NODE, clock=self.clock, board=self.board)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Run]:
        self.memory.recall()
        task = asyncio.create_task(self.memory.run())
        try:
            yield self
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def happens(self, what: str) -> None:
        self.board.events.add([Happening(EventKind.PEER_JOINED, what)], self.clock.wall())

    async def passes(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        await self.memory._disk.settled(10.0)

    @property
    def told(self) -> list[str]:
        return [event.what for event in self.board.events.after() if event.kind is EventKind.PEER_JOINED]


def _saved(state_dir: Path) -> list[str]:
    found = events_file.load(state_dir, node_id=NODE)
    assert isinstance(found, History), found
    return [event.what for event in found.events if event.kind is EventKind.PEER_JOINED]


async def test_events_are_written_soon_and_found_by_the_next_run_even_after_a_kill(tmp_path: Path) -> None:
    async with Run(tmp_path).running() as first:
        await first.passes(0.1)
        first.happens("web-2")
        await first.passes(SAVE_PACE)
        await first.passes(SAVE_PACE)
        assert _saved(tmp_path) == ["web-2"]
    async with Run(tmp_path).running() as second:
        assert second.told == ["web-2"]
        assert second.board.events.newest > first.board.events.newest


async def test_end_of_the_daemon_writes_what_is_not_written_yet(tmp_path: Path) -> None:
    async with Run(tmp_path).running() as run:
        run.happens("web-3")
        await run.memory.close()
    assert _saved(tmp_path) == ["web-3"]


async def test_many_events_are_one_write(tmp_path: Path) -> None:
    async with Run(tmp_path).running() as run:
        await run.passes(0.1)
        before = (tmp_path / events_file.FILE_NAME).stat().st_ino
        for number in range(5):
            run.happens(f"web-{number}")
            await run.passes(SAVE_PACE / 10)
        assert (tmp_path / events_file.FILE_NAME).stat().st_ino == before
        await run.passes(SAVE_PACE)
        assert len(_saved(tmp_path)) == 5


async def test_disk_that_takes_nothing_is_told_once_and_tried_again(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.write_text("")  # a file where the directory should be: the same error path as a full disk
    with structlog.testing.capture_logs() as lines:
        async with Run(state).running() as run:
            for number in range(4):
                run.happens(f"web-{number}")
                await run.passes(SAVE_PACE)
            unsaved = [line for line in lines if line["event"] == "events_unsaved"]
            assert len(unsaved) == 1, "once, not at each try"
            assert str(state / events_file.FILE_NAME) in str(unsaved[0]["error"])
            os.unlink(state)  # noqa: PTH108
            await run.passes(RETRY_INTERVAL)
            await run.passes(SAVE_PACE)
    assert [line["event"] for line in lines][-1] == "events_saved"
    assert _saved(state) == [f"web-{number}" for number in range(4)]


async def test_file_of_nonsense_is_told_in_one_line_and_replaced(tmp_path: Path) -> None:
    (tmp_path / events_file.FILE_NAME).write_text('{"version": 1, "events": ')
    with structlog.testing.capture_logs() as lines:
        async with Run(tmp_path).running() as run:
            await run.passes(0.1)
    refused = [line for line in lines if line["log_level"] == "warning"]
    assert [line["event"] for line in refused] == ["saved_events_refused"]
    assert "new events will replace it" in refused[0]["reason"]
    assert _saved(tmp_path) == []


async def test_second_daemon_on_the_same_directory_harms_neither(tmp_path: Path) -> None:
    """Two run directories, one state directory: each keeps its own story, and the file is always whole."""
    async with Run(tmp_path).running() as one, Run(tmp_path).running() as two:
        for number in range(3):
            one.happens(f"one-{number}")
            two.happens(f"two-{number}")
            await one.passes(SAVE_PACE)
            await two.passes(SAVE_PACE)
            assert _saved(tmp_path), "whole"
        assert [one.told, two.told] == [[f"{name}-{n}" for n in range(3)] for name in ("one", "two")]
