"""A network as its config alone describes it: its backend, its devices, how a host that does not exist
advertises itself.

By flannel's documentation. `FABRICS` are the networks that drivers run on; `Fabric(config)` reads any other.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from integration.etcd.peers import Peer
from integration.hosts.lab import NETWORK

NETWORK6 = "fd50::/48"
OVERHEAD = {"vxlan": {4: 50, 6: 70}, "udp": {4: 28}, "ipip": {4: 20}, "wireguard": {4: 80, 6: 80}}


@dataclass(frozen=True, slots=True)
class Device:
    """An overlay device, the address family that it carries, and what it takes off the MTU."""

    name: str
    family: str
    overhead: int


@dataclass(frozen=True, slots=True)
class Fabric:
    """A network by its config."""

    config: Mapping[str, Any]
    title: str = ""

    @property
    def backend(self) -> Mapping[str, Any]:
        """The backend's own settings."""
        found: Mapping[str, Any] = self.config.get("Backend", {})
        return found

    @property
    def kind(self) -> str:
        """The backend's type."""
        return str(self.backend.get("Type", "udp"))

    @property
    def name(self) -> str:
        """Return the name that drivers use."""
        return self.title or ("dual" if self.kind == "vxlan" and self.ipv6 else self.kind)

    @property
    def type(self) -> str:
        """Return the backend type in its leases, "" for those that state none."""
        return "" if self.kind in ("udp", "alloc") else self.kind

    @property
    def vni(self) -> int:
        """The VXLAN network identifier."""
        return int(self.backend.get("VNI", 1))

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that it carries."""
        return tuple(v for v, key in ((4, "Network"), (6, "IPv6Network")) if self.config.get(key))

    @property
    def devices(self) -> tuple[Device, ...]:
        """A device for each IP version; none where packets are routed as they are."""
        names = {
            "vxlan": {4: f"flannel.{self.vni}", 6: f"flannel-v6.{self.vni}"},
            "udp": {4: "flannel0"},
            "ipip": {4: "flannel.ipip"},
            "wireguard": {4: "flannel-wg", 6: "flannel-wg-v6" if self.separate else "flannel-wg"},
        }
        return tuple(
            Device(name, f"-{version}", OVERHEAD[self.kind][version])
            for version, name in names.get(self.kind, {}).items()
            if version in self.versions
        )

    @property
    def separate(self) -> bool:
        """Report whether each family has a WireGuard device of its own."""
        return str(self.backend.get("Mode", "separate")) == "separate"

    @property
    def ipv6(self) -> bool:
        """Report whether hosts and containers have IPv6 beside IPv4."""
        return 6 in self.versions

    @property
    def overhead(self) -> int:
        """Return how much smaller the containers' MTU is than the underlay's."""
        return max((device.overhead for device in self.devices), default=0)

    def value(self, peer: Peer) -> str:
        """Return the lease of a host that does not exist."""
        if self.type == "vxlan":
            return peer.value
        said: dict[str, Any] = {"PublicIP": str(peer.public_ip), "PublicIPv6": None}
        said |= {"BackendType": self.type} if self.type else {}
        if self.type == "wireguard":
            said["BackendData"] = {"PublicKey": b64encode(sha256(peer.value.encode()).digest()).decode()}
        return json.dumps(said)


def _fabric(name: str, kind: str, **more: Any) -> Fabric:
    return Fabric({"Network": NETWORK, **more, "Backend": {"Type": kind}}, name)


FABRICS = {
    fabric.name: fabric
    for fabric in (
        _fabric("vxlan", "vxlan"),
        _fabric("host-gw", "host-gw"),
        _fabric("udp", "udp"),
        _fabric("ipip", "ipip"),
        _fabric("wireguard", "wireguard"),
        _fabric("dual", "vxlan", EnableIPv6=True, IPv6Network=NETWORK6),
    )
}
VXLAN = FABRICS["vxlan"]
