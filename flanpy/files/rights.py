"""The rights with which root works in a directory that belongs to a service's user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flanpy.files.atomic import host_error


@contextmanager
def rights_of_owner(directory: Path) -> Iterator[None]:
    """Act as the directory's owner while the context lasts, if root runs this and another user owns the directory.

    credentials(7): effective ids decide over files, and the real ones, still root's, bring root's rights back; until
    then no process of the owner can signal or trace this one. Threads change along. Raises HostError.
    """
    try:
        owner = directory.stat()
    except OSError as error:
        raise host_error("open", directory, error) from error
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
