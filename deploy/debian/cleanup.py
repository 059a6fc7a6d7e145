"""Runs `flanpyctl cleanup --yes` when a purge has left nothing of flanpy but this archive.

The settings that the daemon had are beside it, as copies of its files. Plain Python only: no library with a C part.
"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path

_BESIDE = Path(sys.argv[0]).resolve().parent


def _read_environment(path: Path) -> None:
    """What systemd reads from an EnvironmentFile, in its simple form; lines that are none are left out."""
    for line in path.read_text(errors="replace").splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and name.startswith(("FLANPYD_", "FLANNELD_")):
            with suppress(ValueError):
                os.environ.setdefault(name, " ".join(shlex.split(value)))


def _main() -> None:
    with suppress(OSError):
        _read_environment(_BESIDE / "flanpyd.env")
    if (_BESIDE / "flanpyd.toml").exists():
        os.environ["FLANPYD_CONFIG"] = str(_BESIDE / "flanpyd.toml")
    sys.argv = ["flanpyctl", "cleanup", "--yes"]
    from flanpy.cli.main import main  # noqa: PLC0415, what it is imported from is settled only now

    main()


_main()
