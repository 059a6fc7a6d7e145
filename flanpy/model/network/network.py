"""The network config, as read from `<prefix>/config` (flannel's Documentation/configuration.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType

from flanpy.model.address import Family, IPNetwork


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """A validated network config; everything left out has its default filled in.

    `network`/`network6` are None when that family is off. `subnet_min`..`subnet_max` are the first and last
    *subnet base* that may be leased. `backend_type` is lower case ("udp" when no Backend is given), and
    `backend_options` holds its remaining keys in lower case with their JSON values, for the backend to judge.
    `in_clear` is the Backend object that the network had before it was encrypted.
    `deliberate`: a backend that leads nowhere is meant (a field of our own, which flannel ignores).
    `warnings` are one line each: unknown keys and values that were adjusted. `text` is the JSON as it stood in etcd.
    """

    network: IPv4Network | None
    subnet_len: int
    subnet_min: IPv4Address | None
    subnet_max: IPv4Address | None
    network6: IPv6Network | None = None
    subnet_len6: int = 64
    subnet_min6: IPv6Address | None = None
    subnet_max6: IPv6Address | None = None
    enable_nftables: bool = False
    deliberate: bool = False
    in_clear: Mapping[str, object] | None = None
    backend_type: str = "udp"
    backend_options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()
    text: str = ""

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are on, IPv4 first."""
        return tuple(family for family in Family if self.range(family) is not None)

    def range(self, family: Family) -> IPNetwork | None:
        """The whole overlay range of one family."""
        return self.network if family is Family.IPV4 else self.network6
