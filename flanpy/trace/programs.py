"""Running a program that tells of this host, within a deadline and with output in English. Owns no meaning."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Final

from flanpy.errors import HostError

DEADLINE: Final = 10.0

_SEARCH: Final = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


def output(argv: Sequence[str], *, deadline: float = DEADLINE) -> str:
    """Standard output. Raises HostError, one line: not installed, ended with an error, or took too long."""
    line = " ".join(argv)
    found = _found(argv[0])
    if found is None:
        raise HostError(f"{line}: {argv[0]} is not installed")
    try:
        done = subprocess.run(  # noqa: S603, words of our own and addresses that were parsed
            [found, *argv[1:]],
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=deadline,
            check=False,
            env={"PATH": os.pathsep.join(_SEARCH), "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"{line}: no end within {deadline:g} s") from error
    except OSError as error:
        raise HostError(f"{line}: {error.strerror}") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise HostError(f"{line}: {said[:300] or f'ended with {done.returncode}'}")
    return done.stdout


def is_installed(name: str) -> bool:
    """Report whether `output` would find the program."""
    return _found(name) is not None


def _found(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SEARCH))
