"""One daemon per run directory, by a lock that the kernel drops when its holder dies, however it dies.

Owns `flanpyd.lock`. The file itself stays behind: removing it would let two processes lock two files of one name.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from flanpy.errors import AlreadyRunning, HostError
from flanpy.files.atomic import host_error, make_directory

FILE_NAME: Final = "flanpyd.lock"


class RunLock:
    """The lock, held until `release` or the end of the process; programs that it starts do not inherit it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, run_dir: Path, *, node_id: str) -> RunLock:
        """Raises AlreadyRunning naming the holder, HostError if the file cannot be made."""
        path = run_dir / FILE_NAME
        try:
            make_directory(run_dir)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except PermissionError as cause:
            if os.geteuid() != 0:
                text = f"cannot open '{path}' as this user: run as root, or systemctl start flanpyd"
                raise HostError(text) from cause
            raise host_error("open", path, cause) from cause
        except OSError as cause:
            raise host_error("open", path, cause) from cause
        try:
            _refuse_other(descriptor, path)
            _take(descriptor, path)
            with suppress(
                OSError
            ):  # the name is for people; a full disk must not keep the daemon from running
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()} {node_id}\n".encode(), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let the next one in; calling it again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _refuse_other(descriptor: int, path: Path) -> None:
    """Raises HostError unless the file has this one name: another user may have put it there, and root writes to it."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise HostError(
            f"'{path}' is no lock of flanpyd, but a pipe or another file's second name: remove it"
        )


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as cause:
        raise AlreadyRunning(
            f"another flanpyd ({_holder(descriptor)}) uses '{path.parent}'",
            "stop it, or give this one its own --run-dir",
        ) from cause
    except OSError as cause:
        raise host_error("lock", path, cause) from cause


def _holder(descriptor: int) -> str:
    with suppress(OSError, ValueError):
        pid, _, node_id = os.pread(descriptor, 256, 0).decode().strip().partition(" ")
        return f"pid {int(pid)}, node '{node_id}'"
    return "pid not known yet"
