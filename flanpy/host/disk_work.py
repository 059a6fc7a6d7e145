"""Blocking work on a file, run in a worker thread so that the event loop does not wait for it.

A disk may take seconds, or hang until it is repaired; a process that waits for it in the kernel cannot even be killed.
So each file that the daemon writes has a `DiskWork`: a thread while there is work, one piece at a time, and of the
pieces given meanwhile only the last. A disk that does not answer soon is reported, once, and the work is done when it
answers. Must not: know the content of the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread, Timer
from typing import Final, Generic, TypeVar

from flanpy.errors import HostError
from flanpy.log import get_logger

log = get_logger()

LATE: Final = 3.0
"""Seconds after which a disk is said not to answer. A busy one may take a second or two."""

CURE: Final = "look at that disk: mount, dmesg, df; the daemon goes on, and writes it once the disk answers"

T = TypeVar("T")


class DiskWork(Generic[T]):
    """Work on `path`. Its result goes to `done`, its failure or delay to `failed`; both on the event loop."""

    def __init__(self, path: Path, *, done: Callable[[T], None], failed: Callable[[HostError], None]) -> None:
        self._path = path
        self._done = done
        self._failed = failed
        self._next: Callable[[], T] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self.late = False
        """Whether the disk is known not to answer."""

    @property
    def busy(self) -> bool:
        """Report whether work is in progress."""
        return not self._idle.is_set()

    def give(self, work: Callable[[], T]) -> None:
        """Run the work now, or after the present piece unless more is given meanwhile. In a running event loop."""
        if self.busy:
            self._next = work
            return
        loop = asyncio.get_running_loop()
        thread = Thread(target=self._run, args=(work, loop), name=self._path.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads: the user's limit, or the service's TasksMax
            self._failed(HostError(f"cannot write '{self._path}': {error}; raise the limit of tasks"))
            return
        self._idle.clear()
        self._timer = loop.call_later(LATE, self._told_late)

    async def settled(self, patience: float) -> None:
        """Wait until no work is left, for a limited time, and not at all for a disk that is known not to answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if self.late else patience):
                while self.busy:
                    await self._idle.wait()

    def _run(self, work: Callable[[], T], loop: asyncio.AbstractEventLoop) -> None:
        found: T | HostError
        try:
            found = work()
        except HostError as error:
            found = error
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._ended, found)

    def _ended(self, found: T | HostError) -> None:
        assert self._timer is not None
        self._timer.cancel()
        self.late = False
        work, self._next = self._next, None
        self._idle.set()
        if isinstance(found, HostError):
            self._failed(found)
        else:
            self._done(found)
        if work is not None:
            self.give(work)

    def _told_late(self) -> None:
        self.late = True
        self._failed(HostError(f"cannot write '{self._path}': no answer from its disk; {CURE}"))


async def in_time(path: Path, work: Callable[[], object], undo: Callable[[], object] | None = None) -> None:
    """Run the work in a thread and wait for its result. Raises HostError, also if the disk does not answer in time.

    Work that completes later is undone by `undo`, if given: it was reported as failed.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[None] = loop.create_future()

    def ended(error: HostError | None) -> None:
        if not answer.done():
            answer.set_result(None) if error is None else answer.set_exception(error)
        elif error is None and undo is not None:
            Thread(target=_undone, args=(path, undo), name=f"undo {path.name}", daemon=True).start()

    def run() -> None:
        error = None
        try:
            work()
        except HostError as refused:
            error = refused
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(ended, error)

    Thread(target=run, name=path.name, daemon=True).start()
    try:
        async with asyncio.timeout(LATE):
            await answer
    except TimeoutError as late:
        raise HostError(
            f"cannot write '{path}': no answer from its disk; look at it: mount, dmesg, df"
        ) from late


def _undone(path: Path, undo: Callable[[], object]) -> None:
    try:
        undo()
    except HostError as error:
        log.warning("late_write_kept", path=path, error=error)


@contextmanager
def told_if_late(path: Path) -> Iterator[None]:
    """Log once if the body, a start that waits for a disk, takes long."""
    timer = Timer(LATE, _log_awaited, (path,))
    timer.daemon = True
    with suppress(RuntimeError):  # no thread to be had; then nothing is said
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _log_awaited(path: Path) -> None:
    log.warning(
        "disk_awaited",
        path=path,
        reason=f"no answer from its disk for {LATE:g} s",
        action="look at that disk: mount, dmesg, df; the start goes on once it answers",
    )
