"""The files that make flanpyd a service of this host, and where an administrator's own belong.

Owns the way from the tree of a package, as `units/install.sh` lays it, to the administrator's directories: what stands
in /usr/lib there stands in /etc, which every tool of systemd reads first. Must not change the host.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Final

import flanpy
from flanpy.cli.base.exits import CommandError, Exit

UNITS: Final = Path(flanpy.__file__).with_name("units")
DEFAULTS: Final = PurePosixPath("/etc/default/flanpyd")
_PLACES: Final = {"/usr/lib": "/etc", "/usr/share": "/usr/local/share"}
_PACKAGED: Final = "/usr/bin/flanpy"
_DEADLINE_S: Final = 60


@dataclass(frozen=True, slots=True)
class HostFile:
    """A file of the service. The operator's are never overwritten, and never removed."""

    place: PurePosixPath
    content: bytes
    mode: int = 0o644
    is_the_operators: bool = False


def wanted(scripts: Path) -> tuple[HostFile, ...]:
    """Return every file, for the programs `flanpyd` and `flanpyctl` in the directory `scripts`."""
    install = UNITS / "install.sh"
    if not install.is_file():
        raise CommandError(Exit.FAILURE, f"{UNITS} has no install.sh: install flanpy again, with pip or pipx")
    with TemporaryDirectory() as tree:
        subprocess.run(["/bin/sh", str(install), tree], check=True, timeout=_DEADLINE_S)  # noqa: S603, our own file
        return tuple(sorted(_of_tree(Path(tree), scripts), key=lambda one: one.place))


def _of_tree(tree: Path, scripts: Path) -> Iterator[HostFile]:
    for path in tree.rglob("*"):
        if not path.is_file():
            continue
        inside = PurePosixPath("/", path.relative_to(tree))
        content = path.read_bytes().replace(_PACKAGED.encode(), f"{scripts}/flanpy".encode())
        yield HostFile(_administrators(inside), content)
        if inside.name == "flanpyd.default":
            yield HostFile(DEFAULTS, content, mode=0o640, is_the_operators=True)


def _administrators(inside: PurePosixPath) -> PurePosixPath:
    for packaged, own in _PLACES.items():
        if inside.is_relative_to(packaged):
            return PurePosixPath(own) / inside.relative_to(packaged)
    raise CommandError(Exit.FAILURE, f"no place of an administrator is known for {inside}")
