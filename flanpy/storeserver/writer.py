"""The one thread that writes. All requests that wait share one commit, hence one flush of the disk.

Owns the writing connection, the order of requests, and the state that was committed last. Must not answer anybody
before the commit: outcomes go to the event loop in one call, changes first. What SQLite cannot promise any more
(damage, a failed flush) ends the thread with the reason.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar

from flanpy.errors import FlanpyError
from flanpy.storeserver.database import Damaged, Database, StoreState, is_damage, is_full
from flanpy.storeserver.refusal import Refusal, RefusalReason
from flanpy.storeserver.writing import Change, Writing

Answer = TypeVar("Answer")

MOST_IN_COMMIT: Final = 512
"""Requests of one commit: bounds how long the first one of them waits."""


class DiskFailed(FlanpyError):
    """A write failed in a way after which only a new start can tell what the disk holds."""


@dataclass(slots=True)
class _Request(Generic[Answer]):
    work: Callable[[Writing], Answer]
    answer: asyncio.Future[Answer]
    outcome: Answer | Exception | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit: the state after it, what changed, and whether the disk had no room for it."""

    state: StoreState
    changes: tuple[Change, ...]
    full: bool = False


class Writer:
    """The thread and its queue. Made, submitted to and closed on the event loop."""

    def __init__(self, database: Database, committed: Callable[[Committed], None]) -> None:
        """`committed` is called on the event loop, before the requests of that commit are answered."""
        self._database = database
        self._committed = committed
        self._state = database.state()
        self._loop = asyncio.get_running_loop()
        self._requests: queue.SimpleQueue[_Request[Any] | None] = queue.SimpleQueue()
        self.failed: asyncio.Future[None] = self._loop.create_future()
        """Gets the error that ended the thread."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def submit(self, work: Callable[[Writing], Answer]) -> Answer:
        """Run `work` in the next commit; its answer once that is on the disk. Raises `Refusal`."""
        if not self._thread.is_alive():
            raise Refusal(RefusalReason.STOPPED)
        request: _Request[Answer] = _Request(work, self._loop.create_future())
        self._requests.put(request)
        return await request.answer

    async def close(self) -> None:
        """Commit what waits, then end the thread."""
        self._requests.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        batch: list[_Request[Any]] = []
        error: Exception = DiskFailed(
            "the writer ended by a fault of its own: see the trace, and start again"
        )
        try:
            while batch := self._next_batch():
                self._commit(batch)
        except (Damaged, DiskFailed) as failure:
            error = failure
        finally:
            if batch:
                self._tell(self._gave_up, batch, error)

    def _next_batch(self) -> list[_Request[Any]]:
        batch: list[_Request[Any]] = []
        request = self._requests.get()
        while request is not None:
            batch.append(request)
            if len(batch) == MOST_IN_COMMIT:
                break
            try:
                request = self._requests.get_nowait()
            except queue.Empty:
                break
        if request is None and batch:
            self._requests.put(None)  # for the next turn
        return batch

    def _commit(self, batch: Sequence[_Request[Any]]) -> None:
        try:
            self._database.execute("BEGIN IMMEDIATE")
            state, changes = self._run_all(batch)
            if state != self._state:
                self._database.set_state(state)
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            self._undo(batch, error)
            return
        self._state = state
        self._tell(self._answer, batch, Committed(state, tuple(changes)))

    def _run_all(self, batch: Sequence[_Request[Any]]) -> tuple[StoreState, list[Change]]:
        state, changes = self._state, list[Change]()
        for request in batch:
            writing = Writing(self._database, state)
            self._database.execute("SAVEPOINT request")
            try:
                request.outcome = request.work(writing)
            except Refusal as refusal:
                request.outcome = refusal
                self._database.execute("ROLLBACK TO request")
            else:
                compacted = state.compacted if writing.compacted is None else writing.compacted
                state = replace(state, revision=writing.revision, compacted=compacted)
                changes += writing.changes
            self._database.execute("RELEASE request")
        return state, changes

    def _undo(self, batch: Sequence[_Request[Any]], error: sqlite3.Error) -> None:
        if is_damage(error):
            raise self._database.damaged(str(error)) from error
        if not is_full(error):
            raise DiskFailed(
                f"cannot write '{self._database.path}': {error}; see the disk, then start again"
            ) from error
        if self._database.in_transaction:
            self._database.execute("ROLLBACK")
        for request in batch:
            request.outcome = Refusal(RefusalReason.NO_SPACE)
        self._tell(self._answer, batch, Committed(self._state, (), full=True))

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(call, *arguments)

    def _answer(self, batch: Sequence[_Request[Any]], committed: Committed) -> None:
        self._committed(committed)
        for request in batch:
            if request.answer.done():
                continue
            if isinstance(request.outcome, Exception):
                request.answer.set_exception(request.outcome)
            else:
                request.answer.set_result(request.outcome)

    def _gave_up(self, batch: Sequence[_Request[Any]], error: Exception) -> None:
        if not self.failed.done():
            self.failed.set_exception(error)
        reason = RefusalReason.CORRUPT if isinstance(error, Damaged) else RefusalReason.STOPPED
        while not self._requests.empty():
            batch = [*batch, *(one for one in (self._requests.get(),) if one is not None)]
        for request in batch:
            if not request.answer.done():
                request.answer.set_exception(Refusal(reason))
