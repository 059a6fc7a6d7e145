"""One command of root's at a time changes the networks of containers, by a lock that the kernel drops with its holder.

Owns the lock file. Only who holds it removes it, and who then gets a file without a name takes a new one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from flanpy.errors import DockerConflict
from flanpy.files.atomic import host_error, make_directory
from flanpy.files.locking import lock_by

DIRECTORY: Final = Path("/var/lib/flanpy-docker")
"""Root's own, unlike the daemon's: what is in it says what root does to containers."""

LOCK: Final = DIRECTORY / "lock"

PATIENCE_S: Final = 20.0


@contextmanager
def turn(lock: Path = LOCK, *, patience: float = PATIENCE_S) -> Iterator[None]:
    """Hold the lock while the context lasts. Raises DockerConflict if another command keeps it, HostError."""
    descriptor = _taken(lock, time.monotonic() + patience)
    try:
        yield
    finally:
        os.close(descriptor)


def leave(lock: Path = LOCK) -> None:
    """Remove the lock, which the caller holds, and the directory if nothing else is in it."""
    with suppress(OSError):
        lock.unlink()
        lock.parent.rmdir()


def _taken(lock: Path, deadline: float) -> int:
    """Return the descriptor of the lock that has its name, once it is ours."""
    while True:
        try:
            make_directory(lock.parent)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise host_error("open", lock, error) from error
        try:
            _wait(descriptor, lock, deadline)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder removed it


def _wait(descriptor: int, lock: Path, deadline: float) -> None:
    if not lock_by(descriptor, deadline):
        raise DockerConflict(
            f"another command changes networks of containers on this host ('{lock}'): try again when it is done"
        )
