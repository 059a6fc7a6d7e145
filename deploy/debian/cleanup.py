"""Runs `flanpyctl cleanup --yes` when a purge has left nothing of flanpy but this archive.

The settings that the daemon had are beside it, as copies of its files. Plain Python only: no library with a C part.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

_BESIDE = Path(sys.argv[0]).resolve().parent


def _read_environment(path: Path) -> None:
    """Take from the service's environment file what systemd took from it."""
    from flanpy.files.environment_file import read_environment_file  # noqa: PLC0415, see below

    for name, value in read_environment_file(path).items():
        if name.startswith(("FLANPYD_", "FLANNELD_")):
            os.environ.setdefault(name, value)


def _main() -> None:
    with suppress(OSError):
        _read_environment(_BESIDE / "flanpyd.env")
    if (_BESIDE / "flanpyd.toml").exists():
        os.environ["FLANPYD_CONFIG"] = str(_BESIDE / "flanpyd.toml")
    sys.argv = ["flanpyctl", "cleanup", "--yes"]
    from flanpy.cli.main import main  # noqa: PLC0415, what it is imported from is settled only now

    main()


_main()
