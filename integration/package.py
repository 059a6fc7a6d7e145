"""Owns the Debian package as tests and labs use it: built once for one state of the source, kept in the user's cache.

python -m integration.package     prints its path
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from integration.net.claim import PROJECT_ROOT

BUILD = PROJECT_ROOT / "deploy/debian/build.sh"
BUILD_DEADLINE_S = 840.0
_KEPT = 3
_INPUTS = ("flanpy", "deploy/debian", "deploy/systemd", "docs/generate")
_FILES = ("deploy/building.sh", "pyproject.toml", "constraints.txt", "README.md", "CHANGELOG.md", "LICENSE")


def minor() -> int:
    """Return the minor version of the Python that packages are built with and for."""
    asked = ["/usr/bin/python3", "-c", "import sys; print(sys.version_info.minor)"]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout)


@functools.cache
def built() -> Path:
    """The package of the source as it is now; building it takes half a minute."""
    store = Path(os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache")), "flanpy/packages")
    store.mkdir(parents=True, exist_ok=True)
    with (store / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = store / _fingerprint()
        if not any(place.glob("*.deb")):
            _build(place)
        os.utime(place)
        _forget_old(store)
    return next(place.glob("*.deb"))


def as_version(package: Path, version: str, directory: Path) -> Path:
    """The same package under another version, quickly packed."""
    tree = directory / f"tree-{version}"
    _run("dpkg-deb", "-R", str(package), str(tree))
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text(
        "".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines)
    )
    other = directory / f"flanpy_{version}.deb"
    _run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "-b", str(tree), str(other))
    return other


def _build(place: Path) -> None:
    work = place.with_suffix(".new")
    _run("rm", "-rf", str(work))
    _run("sh", str(BUILD), str(work))
    work.rename(place)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=BUILD_DEADLINE_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")


def _fingerprint() -> str:
    digest = hashlib.sha256()
    for path in _inputs():
        digest.update(f"{path.relative_to(PROJECT_ROOT)} {path.stat().st_mode}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _inputs() -> Iterator[Path]:
    for name in _INPUTS:
        found = (PROJECT_ROOT / name).rglob("*")
        yield from sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)
    yield from (PROJECT_ROOT / name for name in _FILES)


def _forget_old(store: Path) -> None:
    places = sorted(
        (path for path in store.iterdir() if path.is_dir()), key=lambda path: -path.stat().st_mtime
    )
    for path in places[_KEPT:]:
        _run("rm", "-rf", str(path))


if __name__ == "__main__":
    print(built())
