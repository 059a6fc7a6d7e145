"""Owns finding one's way in a lab that was left up: its hosts, its switch and its etcd, from what it wrote down.

It starts nothing and its daemons are not its children: whoever injects here acts from beside.
"""

from __future__ import annotations

import json
from pathlib import Path

from integration.etcd.cluster import Etcd, EtcdMember
from integration.hosts.cables import Faults
from integration.hosts.container import Container
from integration.hosts.daemon import HostDaemon, flanpyd
from integration.hosts.host import Host
from integration.net import claim, topology
from integration.net.namespaces import LabError
from integration.net.topology import Seat


class _RunningMember(EtcdMember):
    """A member that another command started."""

    @property
    def running(self) -> bool:
        return True


class StandingLab:
    """The lab of a number; LabError if it was not left up."""

    def __init__(self, number: int) -> None:
        directory = claim.directory_of(number)
        if directory is None or not (directory / "lab.json").exists():
            raise LabError(f"lab {number} was not left up: python -m integration up")
        said = json.loads((directory / "lab.json").read_text())
        self.etcd = Etcd([
            _RunningMember(_short(row["namespace"]), row["namespace"], row["address"], directory=directory)
            for row in said["etcd"]
        ])  # fmt: skip
        prefix = f"fp{number}-"
        self.faults = Faults(prefix + topology.SWITCH)
        self.hosts = tuple(self._host(prefix, row) for row in said["hosts"])

    def _host(self, prefix: str, row: dict[str, object]) -> Host:
        name = str(row["name"])
        segment = 100 - int(str(row["address"]).split(".")[1])
        seat: Seat = topology.seat_host(prefix, int(name[1:]), segment=segment, mtu=1500)
        directory = Path(str(row["directory"]))
        daemon = HostDaemon(
            name, seat.namespace, flanpyd(), directory=directory, endpoints=self.etcd.endpoints
        )
        host = Host(name, seat, daemon)
        for number, one in enumerate(list(row["containers"]), 1):  # type: ignore[call-overload]
            host.containers.append(
                Container(f"{name}c{number}", name, one["namespace"], f"veth{number}", one["address"], 1450)
            )
        return host


def _short(namespace: str) -> str:
    return namespace.rpartition("-")[2]
