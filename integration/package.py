"""Owns the Debian package as tests and labs use it: built once for one state of the source, kept in the user's cache.

python -m integration.package     prints its path
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

from integration.net.claim import PROJECT_ROOT

BUILD = PROJECT_ROOT / "deploy/debian/build.sh"
BUILD_RPM = PROJECT_ROOT / "deploy/rpm/build.sh"
BUILD_IMAGE = PROJECT_ROOT / "deploy/image/build.sh"
BUILD_DEADLINE_S = 840.0
_KEPT = 3
_INPUTS = (
    "flanpy",
    "deploy/debian",
    "deploy/rpm",
    "deploy/image",
    "deploy/systemd",
    "docs/generate",
    "deploy/locks",
)
_FILES = (
    "deploy/building.sh",
    "deploy/notices.py",
    "pyproject.toml",
    "constraints.txt",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
)


def minor() -> int:
    """Return the minor version of the Python that packages are built with: modules come compiled for it."""
    asked = ["/usr/bin/python3", "-c", "import sys; print(sys.version_info.minor)"]
    return int(subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stdout)


def pythons() -> tuple[str, ...]:
    """Return the versions of Python that flanpy, and so the package, is for."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    named = (one.rpartition(" ")[2] for one in project["classifiers"] if ":: Python :: 3." in one)
    return tuple(sorted(named, key=lambda one: int(one.partition(".")[2])))


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


def built_rpm() -> Path:
    """The RPM package of the same tree, made once from the Debian package."""
    return _made("*.rpm", BUILD_RPM, "RPM_COMPRESSION=zstd", "RPM_FROM")


def built_image() -> Path:
    """The container image of the same tree, made once from the Debian package."""
    return _made("*-image-*.tar.gz", BUILD_IMAGE, "IMAGE_LEVEL=1", "IMAGE_FROM")


def _made(pattern: str, script: Path, quickly: str, source: str) -> Path:
    """Return what the script makes of the Debian package, which its variable `source` names."""
    deb = built()
    with (deb.parents[1] / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(deb.parent.glob(pattern)):
            run("env", quickly, f"{source}={deb}", "sh", str(script), str(deb.parent))
    return next(deb.parent.glob(pattern))


def as_version(package: Path, version: str, directory: Path) -> Path:
    """The same package under another version, quickly packed."""
    tree = directory / f"tree-{version}"
    run("dpkg-deb", "-R", str(package), str(tree))
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines(keepends=True)
    control.write_text(
        "".join(f"Version: {version}\n" if line.startswith("Version:") else line for line in lines)
    )
    other = directory / f"flanpy_{version}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zzstd", "-z1", "-b", str(tree), str(other))
    return other


def _build(place: Path) -> None:
    work = place.with_suffix(".new")
    run("rm", "-rf", str(work))
    # Packed quickly: a release's is three times smaller, and takes a minute more.
    run("env", "DEB_COMPRESSION=zstd", "DEB_LEVEL=3", "sh", str(BUILD), str(work))
    work.rename(place)


def run(*argv: str) -> str:
    """Run a step of a build to its end and return what it prints; RuntimeError with its last words when it failed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=BUILD_DEADLINE_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


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
        run("rm", "-rf", str(path))


if __name__ == "__main__":
    print(built())
