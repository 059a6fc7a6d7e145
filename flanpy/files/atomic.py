"""Atomic file replacement: a file is either the old one or the new one, even after a crash.

Owns the sequence temporary file, fsync, rename, fsync of the directory, and the texts of the errors. The calls
block for as long as the disk does: on an event loop only through `host.disk_work`. A writer holds a lock on its
temporary file, so that the next one recognises and removes the file of a killed writer.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from flanpy.errors import HostError
from flanpy.files import links

_CURES: Final = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EROFS: "choose a directory that can be written",
    errno.EACCES: "let flanpyd's user write there, or choose another directory",
    errno.EPERM: "let flanpyd's user write there, or choose another directory",
    errno.EISDIR: "remove that directory, or choose another path",
    errno.ENOTDIR: "choose a path whose parents are directories",
    errno.EEXIST: "choose a path whose parents are directories",
    errno.ELOOP: "remove that symbolic link, or have root make it",
}


def host_error(action: str, path: Path, cause: OSError) -> HostError:
    """Return `cause` as our error: the action, the file, the reason, and the remedy."""
    cure = _CURES.get(cause.errno or 0, "")
    return HostError(f"cannot {action} '{path}': {cause.strerror or cause}{cure and '; ' + cure}")


def write(path: Path, content: bytes, *, mode: int = 0o644) -> bool:
    """Make `path` hold exactly `content`; False if it did already. Raises HostError, the old file then stands.

    Missing directories are made (0755). Where `path` is a symbolic link of ours or root's, the link stays and its
    target is replaced; a link of anybody else is refused, see `files.links`.
    """
    try:
        target = links.followed(path)
        if _holds(target, content, mode):
            return False
        make_directory(target.parent)
        replace(target, content, lambda descriptor: os.fchmod(descriptor, mode))
    except OSError as cause:
        raise host_error("write", path, cause) from cause
    return True


def read(path: Path, largest: int) -> bytes:
    """Return the file's content, at most `largest` bytes of it. Raises OSError, also if it is not a regular file.

    A pipe or a device under the name of one of our files must not block the reader, nor fill its memory; a symbolic
    link of another user than root and us must not lead it to another file.
    """
    return _read(links.followed(path), largest)[0]


def read_plain(path: Path, largest: int) -> tuple[bytes, os.stat_result]:
    """Return the content and owner of a file that another user may have put there: a link is refused (ELOOP)."""
    return _read(path, largest)


def _read(path: Path, largest: int) -> tuple[bytes, os.stat_result]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path))
        if status.st_nlink > 1 and path.parent.stat().st_uid not in {0, os.geteuid()}:
            raise OSError(errno.EMLINK, "it may be another file's second name", str(path))
        return file.read(largest), status


def make_directory(path: Path) -> None:
    """Make `path` and its missing parents, open to readers whatever the umask. Raises OSError."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with suppress(FileExistsError):  # another process was faster
        path.mkdir()
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o755)
        finally:
            os.close(descriptor)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def _holds(target: Path, content: bytes, mode: int) -> bool:
    with suppress(OSError):
        return target.stat().st_mode & 0o7777 == mode and read(target, len(content) + 1) == content
    return False


def replace(target: Path, content: bytes, prepare: Callable[[int], None]) -> None:
    """Replace `target`, no symbolic link, in one step. Raises OSError; the old file then stands.

    `prepare` gives the new file, by its descriptor, mode, owner and attributes before it takes the name.
    """
    _sweep(target)
    temporary, descriptor = _locked(target)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(content)
            file.flush()
            prepare(descriptor)
            os.fsync(descriptor)
            temporary.replace(target)  # while it is locked
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(target.parent)


def take_name(fresh: Path, target: Path) -> None:
    """Give a file that another program wrote the name `target`, once it is on the disk. Raises OSError."""
    descriptor = os.open(fresh, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.replace(target)
    sync_directory(target.parent)


def _locked(target: Path) -> tuple[Path, int]:
    """Create a temporary file for `target`; return it and its descriptor, which holds the lock."""
    while True:
        temporary = target.with_name(f".{target.name}.{os.urandom(6).hex()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with suppress(OSError):  # not every file system has locks; there nobody sweeps
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # another writer swept it before it was locked


def _sweep(target: Path) -> None:
    """Remove the temporary files of writers that were killed."""
    with suppress(OSError):
        for entry in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
            _remove_if_left(entry)


def _remove_if_left(temporary: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink()
        finally:
            os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Sync the directory, so that the new name outlives a power cut; a file system that cannot sync is ignored."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
