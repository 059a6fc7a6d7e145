"""daemon.json on disk: read it, put a new content in its place, keep a backup, put the backup back.

Owns the order of steps, so that whatever ends the process at any of them leaves the old file or the new one: backup,
then a file with the owner, mode and extended attributes (SELinux label, ACL) of the old one, which `files.atomic` puts
into its place. A symbolic link stays; what it points to is replaced. Must not know what the content means.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flanpy.errors import DockerError
from flanpy.files import atomic
from flanpy.files.locking import lock_by

BACKUP_SUFFIX: Final = ".flanpy-backup"
NO_FILE: Final = b"{ }\n"
"""What a backup of no file at all holds: it means the same to dockerd, and nobody writes it so."""

_LOCK_PATIENCE_S: Final = 2.0
_LARGEST: Final = 4 << 20
_CURES: Final = {
    errno.ENOSPC: "free some space there",
    errno.EDQUOT: "free some space there",
    errno.EROFS: "it is mounted read-only: remount it, or name another --docker-config-file",
    errno.EACCES: "run as root",
    errno.EPERM: "run as root, and see whether it is immutable: lsattr",
    errno.EBUSY: "something is mounted on it: change the file that is mounted there",
    errno.ELOOP: "its symbolic links go in a circle: correct them",
    errno.EISDIR: "it is a directory: remove it",
    errno.ENOTDIR: "a parent of it is no directory: correct the path",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """The file as it was read; `content` is None if there is none. `target` is where its symbolic links lead."""

    path: Path
    target: Path
    content: bytes | None
    mode: int = 0o644
    owner: tuple[int, int] | None = None

    @property
    def backup(self) -> Path:
        """Beside the target, as only there it is certain to be on the same file system."""
        return self.target.with_name(self.target.name + BACKUP_SUFFIX)


def read(path: Path) -> Found:
    """Raises DockerError for what is neither a regular file nor absent."""
    try:
        target = path.resolve(strict=False)
        if path.is_symlink() and not target.exists():
            raise DockerError(
                f"'{path}' is a symbolic link to '{target}', which is not there: correct or remove it"
            )
        status = target.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DockerError(f"'{path}' is no regular file: remove it, or name another --docker-config-file")
        if status.st_size > _LARGEST:
            raise DockerError(f"'{path}' has {status.st_size} bytes: that is no daemon.json")
        content = target.read_bytes()
    except FileNotFoundError:
        return Found(path, target, None)
    except (OSError, RuntimeError) as cause:
        raise _error("read", path, cause) from cause
    return Found(path, target, content, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))


def changed_at(path: Path) -> float | None:
    """Return when the file was last written, in seconds of the wall clock; None if there is none."""
    with suppress(OSError):
        return path.stat().st_mtime
    return None


def replace(found: Found, content: bytes, *, backup: bool = True) -> None:
    """Keep `found` as the backup if asked to, then put `content` in its place.

    Raises DockerError; the old file then stands.
    A file that changed since it was read is left alone: another writer is at work.
    """
    try:
        _make_directory(found.target.parent)
        if backup:
            _put(found.backup, NO_FILE if found.content is None else found.content, found)
        if _content(found.target) != found.content:
            raise DockerError(f"'{found.path}' was changed by another program just now: run this again")
        _put(found.target, content, found)
    except OSError as cause:
        raise _error("write", found.path, cause, target=found.target) from cause


def put_back(found: Found) -> None:
    """Make the file what `found` says it was. Raises DockerError."""
    try:
        if found.content is None:
            found.target.unlink(missing_ok=True)
            atomic.sync_directory(found.target.parent)
        else:
            _put(found.target, found.content, found)
    except OSError as cause:
        raise _error("restore", found.path, cause, target=found.target) from cause


def read_backup(found: Found) -> bytes | None:
    """Return the backup's content, None if there is no backup. Raises DockerError."""
    try:
        return _content(found.backup)
    except OSError as cause:
        raise _error("read", found.backup, cause) from cause


def restore_backup(found: Found, before: bytes | None) -> None:
    """Give the backup the content that it had `before` a write that failed, if the file is as it was.

    Else the backup is all that is left of the file. Raises DockerError.
    """
    try:
        if _content(found.target) != found.content or _content(found.backup) == before:
            return
        if before is None:
            found.backup.unlink(missing_ok=True)
        else:
            _put(found.backup, before, found)
    except OSError as cause:
        raise _error("restore", found.backup, cause) from cause


def drop_backup(found: Found) -> None:
    """Raises DockerError."""
    try:
        found.backup.unlink(missing_ok=True)
    except OSError as cause:
        raise _error("remove", found.backup, cause) from cause


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep other commands of ours away from the file meanwhile, by a lock on its directory.

    Raises DockerError if one does not end soon. It is not waited for long, as it may be waiting for us: the restart of
    Docker that it asked for may have started this one.
    """
    try:
        _make_directory(path.parent)
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as cause:
        raise _error("lock", path, cause) from cause
    try:
        _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    try:
        locked = lock_by(descriptor, time.monotonic() + _LOCK_PATIENCE_S)
    except OSError as cause:
        raise _error("lock", path, cause) from cause
    if not locked:
        raise DockerError(f"another flanpyctl docker is at work on '{path}': let it end, then run this again")


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _put(target: Path, content: bytes, like: Found) -> None:
    """Replace `target` in one step by a file of `like`'s owner, mode and attributes."""

    def prepare(descriptor: int) -> None:
        if like.owner is not None:
            os.fchown(descriptor, *like.owner)
        _copy_attributes(like.target, descriptor)
        os.fchmod(descriptor, like.mode)  # after the owner, whose change clears set-id bits

    atomic.replace(target, content, prepare)


def _copy_attributes(source: Path, descriptor: int) -> None:
    """Copy the extended attributes; those that the file system or a container refuses are left out."""
    with suppress(OSError):
        for name in os.listxattr(source):
            with suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(source, name))


def _make_directory(path: Path) -> None:
    if not path.is_dir():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)


def _error(
    action: str, path: Path, cause: OSError | RuntimeError, *, target: Path | None = None
) -> DockerError:
    """Name the file, and by a link the file that it leads to: that one has the fault."""
    number = (
        cause.errno if isinstance(cause, OSError) else errno.ELOOP
    )  # RuntimeError: a loop, in Python 3.11
    cure = _CURES.get(number or 0, "")
    text = os.strerror(number) if number else str(cause)
    led = f", which '{path}' leads to" if target is not None and path.is_symlink() else ""
    return DockerError(f"cannot {action} '{target if led else path}'{led}: {text}{cure and '; ' + cure}")
