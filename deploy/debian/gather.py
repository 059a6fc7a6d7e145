"""Unpacks wheels of several Pythons into one directory: compiled modules bear their Python in their names.

    gather.py DIRECTORY WHEEL...

Two wheels of one library differ in compiled modules and in the word on the wheel alone. Where they differ in anything
else, one directory cannot be for both, and the build stops.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

_OF_ONE_WHEEL = {"RECORD", "WHEEL"}
_UNUSED = ("scripts", "headers", "data")


def main() -> None:
    """Unpack all, the first wheel's word counts."""
    site, wheels = Path(sys.argv[1]), sys.argv[2:]
    for wheel in sorted(wheels):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    _put(site, name, archive.read(name))


def _put(site: Path, name: str, content: bytes) -> None:
    place = _place(name)
    if place is None:
        return
    target = site / place
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    elif target.read_bytes() != content and not _is_of_one_wheel(target):
        sys.exit(f"gather: {place} is not the same for every Python")


def _place(name: str) -> str | None:
    """Return where the file goes below the directory; None for what belongs elsewhere, as programs do."""
    top, _, rest = name.partition("/")
    if not top.endswith(".data"):
        return name
    scheme, _, rest = rest.partition("/")
    return None if scheme in _UNUSED else rest


def _is_of_one_wheel(target: Path) -> bool:
    return target.parent.suffix == ".dist-info" and target.name in _OF_ONE_WHEEL


if __name__ == "__main__":
    main()
