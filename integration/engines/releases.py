"""Owns which Docker engines the tests know, and where each one's programs are.

20.10 is what Debian 12 installs. Newer ones are Debian's own packages of later releases, unpacked beside the system
(never installed) under the user's cache; they run on this system's C library, with this system's runc.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from integration.lab import LabError

SYSTEM = "20.10"
FETCHED = ("26.1", "28.5")
NEEDED = ("dockerd", "containerd", "runc", "iptables", "nsenter", "mount")


@dataclass(frozen=True, slots=True)
class Release:
    """An engine: Docker's version (its first two numbers), and the directories its programs are found in first."""

    version: str
    directories: tuple[Path, ...] = ()

    @property
    def path(self) -> str:
        """The PATH to run it with."""
        usual = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
        return os.pathsep.join([*map(str, self.directories), *usual])


def release(version: str) -> Release:
    """The engine of that version; LabError saying how to get it when it is not here."""
    if version not in (SYSTEM, *FETCHED):
        raise LabError(f"no Docker {version} is known; there are {', '.join((SYSTEM, *FETCHED))}")
    found = Release(version, _directories(version))
    missing = [name for name in NEEDED if shutil.which(name, path=found.path) is None]
    if missing:
        raise LabError(f"no {', '.join(missing)} here: run `make setup`")
    return found


def _directories(version: str) -> tuple[Path, ...]:
    if version == SYSTEM:
        return ()
    directories = tuple(_store() / version / "usr" / name for name in ("sbin", "bin"))
    if not (directories[0] / "dockerd").exists():
        raise LabError(f"Docker {version} is not in {_store()}: run `make engines`")
    return directories


def _store() -> Path:
    """Where fetch.sh puts them; it looks at the same variables."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FLANPY_ENGINES") or Path(cache, "flanpy", "engines"))
