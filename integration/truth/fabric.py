"""What a network's backend is for the checker: its config, its devices, how a host that does not exist advertises.

By flannel's documentation, for the four kinds of network that chaos runs on. Nothing of flanpy is used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from integration.etcd.peers import Peer
from integration.hosts.lab import NETWORK

NETWORK6 = "fd50::/48"


@dataclass(frozen=True, slots=True)
class Device:
    """An overlay device, the address family that it carries, and what it takes off the MTU."""

    name: str
    family: str
    overhead: int


@dataclass(frozen=True, slots=True)
class Fabric:
    """A kind of network. `type` is what its leases say, "" for those that say nothing."""

    name: str
    type: str
    devices: tuple[Device, ...]
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> dict[str, Any]:
        """The network config."""
        return {"Network": NETWORK, **self.extra, "Backend": {"Type": self.type or "udp"}}

    @property
    def ipv6(self) -> bool:
        """Whether hosts and containers have IPv6 beside IPv4."""
        return any(device.family == "-6" for device in self.devices)

    @property
    def overhead(self) -> int:
        """What containers have less than the underlay."""
        return max((device.overhead for device in self.devices), default=0)

    def value(self, peer: Peer) -> str:
        """A lease of a host that does not exist."""
        if self.type == "vxlan":
            return peer.value
        said = {"PublicIP": str(peer.public_ip), "PublicIPv6": None}
        return json.dumps(said | ({"BackendType": self.type} if self.type else {}))


_VXLAN = Device("flannel.1", "-4", 50)
FABRICS = {
    fabric.name: fabric
    for fabric in (
        Fabric("vxlan", "vxlan", (_VXLAN,)),
        Fabric("host-gw", "host-gw", ()),
        Fabric("udp", "", (Device("flannel0", "-4", 28),)),
        Fabric(
            "dual",
            "vxlan",
            (_VXLAN, Device("flannel-v6.1", "-6", 70)),
            {"EnableIPv6": True, "IPv6Network": NETWORK6},
        ),
    )
}
VXLAN = FABRICS["vxlan"]
