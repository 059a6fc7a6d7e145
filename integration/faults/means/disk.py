"""A small disk of its own below each host's files, that can really be full, or be read only.

Owns the mounts. Files that are open when a disk turns read only can still be written, as the kernel refuses to remount
what is in use; what is opened again by its path cannot.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from integration.net.namespaces import LabError

SIZE_KIB = 4096
"""What the log of a daemon takes in a long run, and a little more."""
FILLER = "filler"
PORTIONS = (1 << 16, 1 << 12, 1)


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """`directory` is a disk of its own meanwhile; what was in it before cannot be seen."""
    _mount("-t", "tmpfs", "-o", f"size={SIZE_KIB}k", "tmpfs", str(directory))
    try:
        yield
    finally:
        _unmount(directory)


@contextmanager
def filled(directory: Path) -> Iterator[None]:
    """Not one octet more is free on its disk."""
    if not directory.is_mount():
        raise LabError(f"{directory} is on no disk of its own: chaos gives every host one")
    filler = directory / FILLER
    try:
        with filler.open("wb", buffering=0) as out:
            for portion in PORTIONS:
                with suppress(OSError):
                    while True:
                        out.write(bytes(portion))
        yield
    finally:
        filler.unlink(missing_ok=True)


@contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """Nothing can be opened for writing, made, renamed or removed there."""
    _mount("--bind", str(directory), str(directory))
    try:
        _mount("-o", "remount,bind,ro", str(directory))
        yield
    finally:
        _unmount(directory)


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise LabError(f"mount {' '.join(words)}: {done.stderr.strip()}")


def _unmount(directory: Path) -> None:
    """Lazily: programs may have files of it open."""
    subprocess.run(["umount", "-l", str(directory)], capture_output=True, timeout=30, check=False)
