"""One store a data directory, by a lock that the kernel drops when its holder dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flanpy.errors import AlreadyRunning
from flanpy.files.atomic import host_error, make_directory

FILE_NAME: Final = "store.db"
LOCK_NAME: Final = "lock"


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold the directory. Raises `AlreadyRunning`, or `HostError` if it cannot be used."""
    path = directory / LOCK_NAME
    try:
        make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise host_error("open", path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise AlreadyRunning(
            f"another flanpy-store uses '{directory}'", "stop it, or give this one its own --data-dir"
        ) from error
    finally:
        os.close(descriptor)
