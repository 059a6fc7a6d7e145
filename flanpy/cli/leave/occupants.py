"""The containers that still use this host's subnet: the ports of its bridge, by container where Docker gives names.

Reads only. A running container always has a port; Docker is asked for names alone, and never started for it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from flanpy.cli.base.host import Host
from flanpy.errors import MALFORMED, FlanpyError, HostError
from flanpy.model.address import IPNetwork
from flanpy.trace import iproute
from flanpy.trace.programs import output


@dataclass(frozen=True, slots=True)
class Occupants:
    """`ports` are links on `bridge`, `names` the containers that Docker has there (none where it does not tell)."""

    bridge: str
    ports: tuple[str, ...]
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = self.names if len(self.names) >= len(self.ports) else self.ports
        return f"{self.bridge}: {', '.join(shown)}"


def occupants(host: Host, subnets: Sequence[IPNetwork]) -> tuple[Occupants, ...]:
    """One row for each bridge with something on it. Raises FlanpyError where the kernel cannot be read."""
    addresses = iproute.addresses()
    links = sorted({link for ip, link in addresses.items() if any(ip in subnet for subnet in subnets)})
    ports = {link: found for link in links if (found := _ports(link))}
    names = _names(host) if ports else {}
    return tuple(Occupants(link, found, names.get(link, ())) for link, found in ports.items())


def _ports(link: str) -> tuple[str, ...]:
    argv = ("ip", "-j", "link", "show", "master", link)
    try:
        rows: list[dict[str, Any]] = json.loads(output(argv) or "[]")
        return tuple(sorted(str(row.get("ifname")) for row in rows if row and "UP" in row.get("flags", ())))
    except MALFORMED as error:
        raise HostError(f"{' '.join(argv)}: printed no JSON that is understood") from error


def _names(host: Host) -> dict[str, tuple[str, ...]]:
    """Containers by bridge."""
    from flanpy.docker import dockerd
    from flanpy.docker.local import told_settings

    settings = host.effective.docker
    told = told_settings(settings.config_file)
    if dockerd.starts_docker(settings.socket, dockerd.running_pid(told)):
        return {}
    from flanpy.docker.client import Docker

    docker = Docker(settings.socket)
    with suppress(FlanpyError):
        found = docker.look()
        return {net.bridge: net.containers for net in (found.default, found.own) if net is not None}
    return {}
