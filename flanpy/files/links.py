"""Symbolic links under the names of our files: followed if root or we made them, else refused.

The directories of the service belong to its user, and root reads and writes there too: a link that this user puts in
the place of a file must lead root nowhere. The links of an operator, who may have moved a file to another disk, are
root's.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

_MOST: Final = 40
"""Links in a row that the kernel follows, too."""


def followed(path: Path) -> Path:
    """Return the path that `path` leads to by links of its last component. Raises OSError (ELOOP) for another user's
    link.

    The result is to be opened with O_NOFOLLOW, or replaced by a rename: neither follows a link that came meanwhile.
    """
    for _ in range(_MOST):
        target = _target(path)
        if target is None:
            return path
        path = path.parent / target
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _target(path: Path) -> str | None:
    """Return the link's target; None if it is no link. Owner and target are read from the same link."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISLNK(status.st_mode):
            return None
        if status.st_uid not in {0, os.geteuid()}:
            raise OSError(errno.ELOOP, f"a symbolic link of another user (uid {status.st_uid})", str(path))
        return os.readlink("", dir_fd=descriptor)
    finally:
        os.close(descriptor)
