"""The routes at a cloud provider that this host made, so that they can be removed once unwanted.

Owns `cloud.json` in the state directory, which has one entry for each provider. It outlives restarts and moves to
another backend; it is deleted once the routes are removed. An unreadable file counts as empty: when the lease expires,
the other hosts remove the route.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, Final

from flanpy.errors import MALFORMED
from flanpy.files import atomic
from flanpy.log import get_logger
from flanpy.model.cloud import CLOUDS, CloudHere

log = get_logger()

FILE_NAME: Final = "cloud.json"
_LARGEST: Final = 1 << 16


def save(state_dir: Path, made: Iterable[CloudHere]) -> None:
    """Raises HostError."""
    routes = [
        {
            "backend": here.backend,
            "target": here.target,
            "subnet": str(here.standing),
            "address": str(here.address),
        }
        for here in made
    ]
    atomic.write(state_dir / FILE_NAME, json.dumps({"routes": routes}).encode() + b"\n", mode=0o600)


def forget(state_dir: Path) -> None:
    """Raises HostError."""
    path = state_dir / FILE_NAME
    try:
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise atomic.host_error("remove", path, cause) from cause


def load(state_dir: Path) -> tuple[CloudHere, ...]:
    """Return the routes that we made, at most one entry for each provider."""
    path = state_dir / FILE_NAME
    try:
        found = [_here(one) for one in json.loads(atomic.read(path, _LARGEST))["routes"]]
    except FileNotFoundError:
        return ()
    except (OSError, *MALFORMED) as error:
        log.warning("cloud_routes_unread", path=path, error=error)
        return ()
    by_backend = {here.backend: here for here in found if here.backend in CLOUDS}
    return tuple(by_backend[name] for name in sorted(by_backend))


def _here(document: Mapping[str, Any]) -> CloudHere:
    return CloudHere(
        str(document["backend"]),
        str(document["target"]),
        IPv4Network(str(document["subnet"])),
        IPv4Address(str(document["address"])),
    )
