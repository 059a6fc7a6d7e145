"""Values that the tests of Docker share."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

from flanpy.docker.facts import DockerFacts, DockerNetwork, version
from flanpy.docker.wanted import Wanted

WANTED = Wanted(
    network=IPv4Network("10.50.0.0/16"), subnet=IPv4Network("10.50.7.0/24"), mtu=1450, masquerade=True
)
BIP = "10.50.7.1/24"
OPTION = "com.docker.network.bridge."


def bridge(subnet: str | None = "10.50.7.0/24", **more: Any) -> DockerNetwork:
    """docker0 as Docker runs it."""
    network = IPv4Network(subnet) if subnet is not None else None
    values: dict[str, Any] = {
        "id": "f" * 64,
        "name": "bridge",
        "bridge": "docker0",
        "subnet": network,
        "gateway": network[1] if network is not None else None,
        "mtu": 1450,
        "masquerade": True,
    }
    return DockerNetwork(**{**values, **more})


def running(engine: str = "20.10.24", **more: Any) -> DockerFacts:
    """A Docker on our subnet."""
    values: dict[str, Any] = {
        "version": version(engine),
        "live_restore": False,
        "running": 0,
        "default": bridge(),
        "own": None,
    }
    return DockerFacts(**{**values, **more})
