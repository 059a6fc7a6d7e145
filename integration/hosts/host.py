"""Owns one host of the lab: its namespace, its daemon's files, its bridge and its containers.

It must not know flanpy's own modules; the daemon is a program with flannel's flags.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

from integration.hosts.container import Container, PingResult, ping
from integration.hosts.daemon import HostDaemon
from integration.net import namespaces
from integration.net.child import Child
from integration.net.namespaces import LabError
from integration.net.topology import Seat
from integration.net.waiting import wait_until

BRIDGE = "docker0"


@dataclass(frozen=True, slots=True)
class SubnetFile:
    """The content of subnet.env."""

    network: IPv4Network
    subnet: IPv4Interface
    mtu: int
    ipmasq: bool


class Host:
    """A host; `daemon` is what runs in flanneld's place on it."""

    def __init__(self, name: str, seat: Seat, daemon: HostDaemon) -> None:
        self.name = name
        self.seat = seat
        self.namespace = seat.namespace
        self.address = seat.address
        self.daemon = daemon
        self.containers: list[Container] = []

    @property
    def subnet_file(self) -> SubnetFile:
        """Parsed subnet.env; LabError while there is none."""
        path = self.daemon.subnet_path
        try:
            lines = path.read_text().split()
        except FileNotFoundError as missing:
            raise LabError(f"{self.name}: no {path} yet") from missing
        values = dict(line.split("=", 1) for line in lines)
        return SubnetFile(
            network=IPv4Network(values["FLANNEL_NETWORK"]),
            subnet=IPv4Interface(values["FLANNEL_SUBNET"]),
            mtu=int(values["FLANNEL_MTU"]),
            ipmasq=values.get("FLANNEL_IPMASQ") == "true",
        )

    def run(
        self, *argv: str, check: bool = True, timeout: float = 60.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, with the variables flanpyctl finds this host's daemon by."""
        return namespaces.run_in(
            self.namespace, argv, check=check, timeout=timeout, stdin=stdin, env=self.daemon.environment
        )

    def ip(self, *lines: str) -> None:
        """Run `ip` commands on the host, all in one batch."""
        namespaces.ip_batch(self.namespace, lines)

    def ip_json(self, *args: str) -> Any:
        """`ip -j ...` on the host, parsed."""
        return namespaces.tool_json("ip", self.namespace, *args)

    def bridge_json(self, *args: str) -> Any:
        """`bridge -j ...` on the host, parsed."""
        return namespaces.tool_json("bridge", self.namespace, *args)

    def has_link(self, name: str) -> bool:
        """Report whether a link of this name exists."""
        return any(link.get("ifname") == name for link in self.ip_json("link", "show"))

    def routes(self) -> dict[str, dict[str, Any]]:
        """The main table's IPv4 routes by destination."""
        return {route["dst"]: route for route in self.ip_json("-4", "route", "show")}

    def ping(
        self, other: Host | str, *, count: int = 1, wait: float = 1.0, size: int | None = None
    ) -> PingResult:
        """Ping another host on the underlay, or an address."""
        address = other if isinstance(other, str) else other.address
        return ping(self.namespace, address, count=count, wait=wait, size=size)

    def child(self, name: str) -> Child:
        """A further program on this host (start it with argv); it ends with the lab."""
        return Child(f"{self.name} {name}", self.namespace, log=self.directory / f"{name}.log")

    @property
    def directory(self) -> Path:
        """Return the directory of this host's files."""
        return self.daemon.directory

    def attach_container(self, name: str | None = None, *, deadline: float = 10.0) -> Container:
        """Put one more container on the bridge, from what subnet.env says once it is there.

        The bridge takes the subnet's first address and the MTU, as Docker does from --bip and --mtu.
        """
        wait_until(
            self.daemon.subnet_path.exists, f"{self.name}: {self.daemon.subnet_path}", deadline=deadline
        )
        subnet = self.subnet_file
        number = len(self.containers) + 1
        container = Container(
            name=name or f"{self.name}c{number}",
            host=self.name,
            namespace=f"{self.namespace}c{number}",
            port=f"veth{number}",
            address=str(subnet.subnet.network.network_address + 1 + number),
            mtu=subnet.mtu,
        )
        cable = (
            f"link add eth0 netns {container.namespace} mtu {subnet.mtu} type veth"
            f" peer name {container.port} mtu {subnet.mtu} netns {self.namespace}"
        )
        namespaces.ip_batch(None, [f"netns add {container.namespace}", cable])
        self.refresh_bridge(subnet)
        self.ip(f"link set {container.port} master {BRIDGE} up", f"link set {BRIDGE} mtu {subnet.mtu} up")
        namespaces.ip_batch(container.namespace, [
            "link set lo up",
            f"addr add {container.address}/{subnet.subnet.network.prefixlen} dev eth0",
            "link set eth0 up",
            f"route add default via {subnet.subnet.ip}",
        ])  # fmt: skip
        self.containers.append(container)
        return container

    def refresh_bridge(self, subnet: SubnetFile) -> None:
        """Give the bridge the subnet's gateway address and nothing else, creating it if need be."""
        create = [] if self.has_link(BRIDGE) else [f"link add {BRIDGE} type bridge forward_delay 0"]
        self.ip(
            *create,
            f"addr flush dev {BRIDGE}",
            f"addr add {subnet.subnet} dev {BRIDGE}",
            f"link set {BRIDGE} up",
        )
