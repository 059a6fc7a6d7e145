"""The disk's record of the events: read once at the start, written a moment after each change.

A disk that takes nothing costs the story of the time since, never the daemon: it is named once, and tried again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from flanpy import __version__
from flanpy.clock import Clock, set_within
from flanpy.errors import HostError
from flanpy.host import events_file
from flanpy.host.absent import Absent
from flanpy.host.disk_work import DiskWork
from flanpy.log import get_logger
from flanpy.model.event import History
from flanpy.status.board import StatusBoard

log = get_logger()

SAVE_PACE = 2.0
"""Seconds between two writes: that many seconds of events are lost if the daemon is killed."""

RETRY_INTERVAL = 30.0
"""Seconds after which what could not be written is tried again without news."""

CLOSE_PATIENCE = 2.0
"""Seconds that the end of the daemon waits for a disk."""


class EventMemory:
    """The events of one board on the disk of one host."""

    def __init__(self, state_dir: Path, node_id: str, *, clock: Clock, board: StatusBoard) -> None:
        self._state_dir = state_dir
        self._node_id = node_id
        self._clock = clock
        self._board = board
        self._news = asyncio.Event()
        self._failed = ""
        self._disk = DiskWork[None](
            state_dir / events_file.FILE_NAME, done=self._written, failed=self._unwritten
        )

    def recall(self) -> None:
        """Read the file and tell the board of the start; a file that cannot be used is named in the log."""
        found = events_file.load(self._state_dir, node_id=self._node_id)
        if isinstance(found, Absent):
            if found.reason:
                log.warning("saved_events_refused", reason=found.reason)
            found = History()
        self._board.events.on_news = self._news.set
        self._board.begin(found, version=__version__)

    async def run(self) -> None:
        """Write what is new, forever."""
        while True:
            await set_within(self._news, self._clock, RETRY_INTERVAL if self._failed else float("inf"))
            self._save()
            await self._clock.sleep(SAVE_PACE)

    async def close(self) -> None:
        """Write the last news and wait for the disk, but not forever."""
        if self._news.is_set() or self._failed:
            self._save()
        await self._disk.settled(CLOSE_PATIENCE)

    def _save(self) -> None:
        self._news.clear()
        history = self._board.events.history()
        self._disk.give(lambda: self._saved(history))

    def _saved(self, history: History) -> None:
        events_file.save(self._state_dir, history, node_id=self._node_id)

    def _written(self, _saved: None) -> None:
        if self._failed:
            log.info("events_saved", path=self._state_dir / events_file.FILE_NAME)
        self._failed = ""

    def _unwritten(self, error: HostError) -> None:
        if str(error) != self._failed:
            log.warning("events_unsaved", error=error, action="a restart forgets what happened meanwhile")
        self._failed = str(error)
