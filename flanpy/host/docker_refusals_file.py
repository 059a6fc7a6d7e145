"""The named networks that root's side could not give to Docker, with Docker's words: for flanpyd, which asks no Docker.

Owns `docker-refusals.json` in a directory of root's beside the run directory. To the daemon it is data: any fault makes
it empty with a line in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.host import names_file
from flanpy.log import get_logger

log = get_logger()

FILE_NAME: Final = "docker-refusals.json"
_LARGEST: Final = 1 << 22
_MOST_NETWORKS: Final = 4096
_LONGEST: Final = 500


def path_of(run_dir: Path) -> Path:
    """Return the file of root's side: /run/flanpy-docker/docker-refusals.json beside /run/flanpy."""
    return names_file.path_of(run_dir).with_name(FILE_NAME)


def save(path: Path, refused: Mapping[str, str]) -> bool:
    """Write why each network is not in Docker, if it differs. Raises HostError; the old file then stands."""
    return atomic.write(path, json.dumps({"Refused": dict(sorted(refused.items()))}).encode() + b"\n")


def load(path: Path) -> Mapping[str, str]:
    """Read it; empty if there is none, or it cannot be used."""
    try:
        found: dict[str, Any] = json.loads(atomic.read(path, _LARGEST))["Refused"]
        return {_text(name): _text(why) for name, why in [*found.items()][:_MOST_NETWORKS]}
    except FileNotFoundError:
        return {}
    except (OSError, *MALFORMED) as error:
        log.warning("docker_refusals_unread", path=path, error=error)
        return {}


def _text(found: Any) -> str:
    if not isinstance(found, str) or not found.isprintable():
        raise ValueError("what Docker refused is no text of one line")
    return found[:_LONGEST]
