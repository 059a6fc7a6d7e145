"""The daemon's last view of all hosts' names, on disk: for answers before etcd is heard.

Owns `names-view.json` in the state directory. Any fault makes it empty with a line in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.log import get_logger
from flanpy.model.networks.names import ToldNames, containers_as_json, creation_as_json, read_containers

log = get_logger()

FILE_NAME: Final = "names-view.json"
_LARGEST: Final = 1 << 26


def save(state_dir: Path, node_id: str, told: Iterable[ToldNames]) -> bool:
    """Write the names of all hosts if they differ. Raises HostError; the old file then stands."""
    known = tuple(told)
    document = {
        "NodeID": node_id,
        "Names": [[one.network, one.node_id, one.host, containers_as_json(one.containers)] for one in known],
        "Created": [creation_as_json(one.containers) for one in known],
    }
    return atomic.write(state_dir / FILE_NAME, json.dumps(document).encode() + b"\n", mode=0o600)


def load(state_dir: Path, node_id: str) -> tuple[ToldNames, ...]:
    """Read the view of this node; empty if there is none, or it cannot be used."""
    path = state_dir / FILE_NAME
    try:
        found = json.loads(atomic.read(path, _LARGEST))
        if found["NodeID"] != node_id:
            return ()
        rows = found["Names"]
        created = found.get("Created", [()] * len(rows))
        return tuple(
            ToldNames(str(network), str(node), str(host), read_containers(boxes, times))
            for (network, node, host, boxes), times in zip(rows, created, strict=True)
        )
    except FileNotFoundError:
        return ()
    except (OSError, *MALFORMED) as error:
        log.warning("names_view_unread", path=path, error=error)
        return ()
