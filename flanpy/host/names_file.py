"""The names of containers that root's side saw in Docker, on disk: for flanpyd, which reads them.

Owns `names.json` in a directory of root's beside the run directory. To the daemon it is data: any fault makes it empty
with a line in the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.log import get_logger
from flanpy.model.networks.names import (
    NamedContainer,
    containers_as_json,
    creation_as_json,
    read_containers,
)

log = get_logger()

FILE_NAME: Final = "names.json"
_LARGEST: Final = 1 << 26
_MOST_NETWORKS: Final = 4096


def path_of(run_dir: Path) -> Path:
    """Return the file of root's side: /run/flanpy-docker/names.json beside /run/flanpy."""
    return run_dir.with_name(f"{run_dir.name}-docker") / FILE_NAME


def save(path: Path, networks: Mapping[str, tuple[NamedContainer, ...]]) -> bool:
    """Write what Docker has, by network, if it differs. Raises HostError; the old file then stands."""
    document = {
        "Networks": {name: containers_as_json(boxes) for name, boxes in networks.items()},
        "Created": {name: creation_as_json(boxes) for name, boxes in networks.items()},
    }
    return atomic.write(path, json.dumps(document).encode() + b"\n")


def load(path: Path) -> Mapping[str, tuple[NamedContainer, ...]] | None:
    """Read it; None if there is none, or it cannot be used."""
    try:
        document: dict[str, Any] = json.loads(atomic.read(path, _LARGEST))
        networks, created = document["Networks"], document.get("Created", {})
        return {
            str(name): read_containers(boxes, created.get(name))
            for name, boxes in [*networks.items()][:_MOST_NETWORKS]
        }
    except FileNotFoundError:
        return None
    except (OSError, *MALFORMED) as error:
        log.warning("names_file_unread", path=path, error=error)
        return None
