"""Owns which Docker engines the tests know, and where each one's programs are.

20.10 is what Debian 12 installs. Newer ones are Debian's own packages of later releases, unpacked beside the system
(never installed) under the user's cache; they run on this system's C library, with this system's runc.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from integration.net.namespaces import LabError

SYSTEM = "20.10"
FETCHED = ("26.1", "28.5")
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
NEEDED = ("dockerd", "containerd", "runc", "iptables", "nsenter", "mount")


@dataclass(frozen=True, slots=True)
class Release:
    """An engine: the first two numbers of its version, and the directory whose usr goes over the system's, if any."""

    version: str
    directory: Path | None = None


def release(version: str) -> Release:
    """The engine of that version; LabError saying how to get it when it is not here."""
    if missing := [name for name in NEEDED if shutil.which(name, path=_PATH) is None]:
        raise LabError(f"no {', '.join(missing)} here: run `make setup`")
    if version == SYSTEM:
        return Release(version)
    if version not in (known := (*FETCHED, *made_by_hand())):
        raise LabError(f"no Docker {version} is known; there are {', '.join((SYSTEM, *known))}")
    directory = _store() / version
    if not (directory / "usr/sbin/dockerd").exists():
        raise LabError(f"Docker {version} is not in {_store()}: run `make engines`")
    return Release(version, directory)


def made_by_hand() -> tuple[str, ...]:
    """Return the versions that somebody put beside those of fetch.sh: what no archive has, built from its sources."""
    found = (path.parents[2].name for path in _store().glob("[0-9]*/usr/sbin/dockerd"))
    return tuple(sorted(set(found) - set(FETCHED)))


def _store() -> Path:
    """Return the directory that fetch.sh writes to; the script reads the same variables."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FLANPY_ENGINES") or Path(cache, "flanpy", "engines"))
