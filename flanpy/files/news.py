"""News of a file by inotify(7), so that nothing looks every second at a file that nobody touched.

The directories of the file, and of the file that its links lead to, are watched; for one that is not there yet, the
directory in which it, or the next one on the way to it, will be made. A path lookup may wait for a disk forever, so
`arm` is called in the thread that looks at the file, before it looks: what changes from then on is news. Where nothing
can be watched (a link that leads nowhere, the user's limit of watches), the caller looks as often as it did before.
Changes that other hosts make on a network file system, and mounts over a directory, send no events: look rarely all the
same. Must not: read the file.

Rejected: a library (asyncinotify), a dependency in every package for two system calls; watching the file itself, whose
inode each atomic replacement changes.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final

from flanpy.clock import Clock, set_within

_libc = ctypes.CDLL(None, use_errno=True)

_EVENT: Final = struct.Struct("@iIII")
"""struct inotify_event of linux/inotify.h without the name: watch, mask, cookie, length of the name."""

_MODIFY, _ATTRIB, _CLOSE_WRITE = 0x2, 0x4, 0x8
_MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x40, 0x80, 0x100, 0x200
_DELETE_SELF, _MOVE_SELF, _ONLYDIR, _IGNORED = 0x400, 0x800, 0x1000000, 0x8000
_MASK: Final = (
    _MODIFY | _ATTRIB | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE
    | _DELETE_SELF | _MOVE_SELF | _ONLYDIR
)  # fmt: skip
_READ_BYTES: Final = 64 << 10


class FileNews:
    """The news of `path`: `wait` ends when it may have changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = asyncio.Event()
        self._descriptor = -1
        self._open = Lock()
        self._watched: dict[int, set[str]] = {}

    def is_armed(self) -> bool:
        """Report whether changes are news; if not, only a look finds them."""
        return bool(self._watched)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take events while the context lasts. In a running event loop."""
        loop = asyncio.get_running_loop()
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:
            loop.add_reader(self._descriptor, self._read)
        try:
            yield
        finally:
            if self._descriptor >= 0:
                loop.remove_reader(self._descriptor)
            self._close()

    def arm(self) -> None:
        """Watch the directories in which the file is now. May wait for a disk: call it in a worker thread."""
        with self._open:
            if self._descriptor < 0:
                return
            before, self._watched = self._watched, self._watches()
            for number in before.keys() - self._watched.keys():
                _libc.inotify_rm_watch(self._descriptor, number)

    def _watches(self) -> dict[int, set[str]]:
        """Watch again; the names of interest by watch, none if the way to the path itself cannot be watched."""
        watched: dict[int, set[str]] = {}
        target = Path(os.path.realpath(self._path))
        for place in (self._path, target):
            number, name = self._nearest(place)
            if number >= 0:
                watched.setdefault(number, set()).add(name)
            elif place is self._path:
                return {}
        return watched

    def _nearest(self, place: Path) -> tuple[int, str]:
        """Watch the directory of `place` or the nearest above; return the watch, -1 for none, and the name to come."""
        number = self._watch(place.parent)
        if number >= 0 or os.path.lexists(place.parent):
            return number, place.name
        found = self._nearest(place.parent)
        # Made between the two calls, the directory sends no event: it is there to be watched instead.
        return self._nearest(place) if os.path.lexists(place.parent) else found

    def _watch(self, directory: Path) -> int:
        return int(_libc.inotify_add_watch(self._descriptor, os.fsencode(directory), _MASK))

    async def wait(self, clock: Clock, often: float, rarely: float) -> None:
        """Wait for news, at most `rarely` seconds; at most `often` if nothing can be watched."""
        await set_within(self._changed, clock, rarely if self.is_armed() else often)
        self._changed.clear()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except OSError:
            return
        place = 0
        while place < len(data):
            number, mask, _, length = _EVENT.unpack_from(data, place)
            name = os.fsdecode(data[place + _EVENT.size : place + _EVENT.size + length].rstrip(b"\0"))
            place += _EVENT.size + length
            self._take(number, mask, name)

    def _take(self, number: int, mask: int, name: str) -> None:
        if mask & _IGNORED:
            if number not in self._watched:  # taken back by us
                return
            self._watched = {}  # the directory went, or its file system
        if not name or name in self._watched.get(number, {name}):
            self._changed.set()

    def _close(self) -> None:
        """Close the descriptor; a thread that still waits for a disk with it keeps it open."""
        if self._open.acquire(blocking=False):
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1
            self._watched = {}
            self._open.release()
