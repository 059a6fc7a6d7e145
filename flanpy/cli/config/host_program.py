"""The programs that this flanpyctl was installed with, and whether a service can run them.

Owns the rules: the service is a user of its own who sees neither homes nor /tmp, and root runs what is installed, so
nobody else may be able to write it. Must not change anything.
"""

from __future__ import annotations

import stat
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from string import ascii_letters, digits
from typing import Final

import flanpy
from flanpy.cli.base.exits import CommandError, Exit

PROGRAMS: Final = ("flanpyd", "flanpyctl")
PACKAGED_UNIT: Final = Path("/usr/lib/systemd/system/flanpyd.service")
_HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108, what the unit hides
_PLAIN: Final = frozenset(ascii_letters + digits + "/._+-")
_CURE: Final = (
    "install it where everybody reads and root alone writes: 'python3 -m venv /opt/flanpy' and "
    "'/opt/flanpy/bin/pip install flanpy', or 'pipx install --global flanpy'"
)


def scripts() -> Path:
    """Return the directory of flanpyd and flanpyctl. Raises CommandError if no service can run them."""
    directory = Path(sysconfig.get_path("scripts"))
    for program in PROGRAMS:
        if not (directory / program).is_file():
            raise CommandError(
                Exit.FAILURE, f"{directory} has no {program}: this is no installation by pip or pipx; {_CURE}"
            )
    if PACKAGED_UNIT.exists():
        raise CommandError(
            Exit.CONFLICT, f"{PACKAGED_UNIT} is there already, of a package: it needs no 'host install'"
        )
    for path in _of_the_service(directory):
        if reason := problem(path):
            raise CommandError(Exit.FAILURE, f"no service can run {path}: {reason}; {_CURE}")
    return directory


def _of_the_service(directory: Path) -> Iterator[Path]:
    yield from (directory / program for program in PROGRAMS)
    yield Path("/proc/self/exe").resolve()
    yield Path(flanpy.__file__).resolve()


def problem(path: Path) -> str:
    """Return the reason why the service's user, or root, should not run `path`; '' if there is none."""
    if not _PLAIN.issuperset(str(path)):
        return "its path has characters that a unit file would need quoted"
    for hidden in _HIDDEN:
        if path.is_relative_to(hidden):
            return f"the service sees nothing of {hidden}"
    for one in (path, *path.parents):
        status = one.stat()
        if status.st_uid != 0:
            return f"{one} belongs to uid {status.st_uid}, not to root, who runs it"
        if status.st_mode & stat.S_IWOTH:
            return f"everybody may write {one}"
        wanted = stat.S_IXOTH if one.is_dir() else stat.S_IROTH
        if not status.st_mode & wanted:
            return f"{one} (mode {status.st_mode & 0o7777:o}) keeps other users out"
    return ""
