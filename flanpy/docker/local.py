"""This host's own facts beside Docker's API: daemon.json where it can be read, and the ports of the bridge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flanpy.docker.facts import DockerFacts
from flanpy.docker.ports import over_mtu
from flanpy.docker.verdict import DockerLook, Mode, Silent, judged_network
from flanpy.docker.wanted import Wanted


def look_of(
    found: DockerFacts | Silent, told: dict[str, Any], wanted: Wanted | None, mode: Mode = Mode.AUTO
) -> DockerLook:
    """Return a whole look: Docker's answer, its configuration, and the ports of its bridge above the overlay's MTU."""
    bip = told.get("bip")
    network = judged_network(found, mode) if isinstance(found, DockerFacts) else None
    return DockerLook(
        found=found,
        told=bip if isinstance(bip, str) else "",
        told_direct_routing=told.get("allow-direct-routing") is True,
        told_accept_mark=bool(told.get("bridge-accept-fwmark")),
        over_mtu=over_mtu(network.bridge, wanted.mtu) if network and wanted else (),
    )


def told_settings(config_file: Path) -> dict[str, Any]:
    """daemon.json, or nothing where it cannot be read: it only explains what Docker runs."""
    try:
        settings = json.loads(config_file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return settings if isinstance(settings, dict) else {}
