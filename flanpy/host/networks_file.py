"""The named networks of this host on disk: for flanpy-docker, which makes Docker's, and for a boot without etcd.

Owns `networks.json` in the state directory. It changes as well when a bridge comes or goes, so that a watcher of the
file puts right what somebody took from Docker. Any fault makes it empty with a line in the log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED, ConfigError
from flanpy.files import atomic
from flanpy.log import get_logger
from flanpy.model.networks.definition import definition_fields, parse_definition
from flanpy.model.networks.view import Joined

log = get_logger()

FILE_NAME: Final = "networks.json"
_LARGEST: Final = 1 << 24


@dataclass(frozen=True, slots=True)
class SavedNetworks:
    """The networks that the host `node_id` is on. `missing` are bridges that Docker has not made (again)."""

    node_id: str
    networks: tuple[Joined, ...] = ()
    missing: tuple[str, ...] = ()


def save(state_dir: Path, saved: SavedNetworks) -> bool:
    """Write the file if it differs. Raises HostError; the old file then stands."""
    document = {
        "NodeID": saved.node_id,
        "Networks": [_document(joined) for joined in saved.networks],
        "Missing": list(saved.missing),
    }
    return atomic.write(state_dir / FILE_NAME, json.dumps(document, indent=1).encode() + b"\n", mode=0o600)


def load(state_dir: Path) -> SavedNetworks | None:
    """Read the file; None if there is none, or it cannot be used."""
    path = state_dir / FILE_NAME
    try:
        found = json.loads(atomic.read(path, _LARGEST))
        return SavedNetworks(
            str(found["NodeID"]),
            tuple(_joined(one) for one in found["Networks"]),
            tuple(str(one) for one in found["Missing"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ConfigError, *MALFORMED) as error:
        log.warning("networks_file_unread", path=path, error=error)
        return None


def _document(joined: Joined) -> dict[str, Any]:
    return {
        "Name": joined.network.name,
        **definition_fields(joined.network),
        "Slice": str(joined.slice),
        "Members": [str(member) for member in joined.members],
    }


def _joined(document: dict[str, Any]) -> Joined:
    network = parse_definition(str(document["Name"]), json.dumps(document).encode())
    members = tuple(ip_address(one) for one in document["Members"])
    subnet = IPv4Network(document["Slice"])
    if not subnet.subnet_of(network.subnet):
        raise ValueError(f"slice {subnet} is no part of {network.subnet}")
    return Joined(network, subnet, members)
