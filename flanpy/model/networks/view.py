"""The named networks as a host sees them: those it has a slice of, with the other members."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from types import MappingProxyType

from flanpy.model.address import IPAddress
from flanpy.model.bridge import named_bridge, named_port
from flanpy.model.networks.definition import NamedNetwork


@dataclass(frozen=True, slots=True)
class Joined:
    """A network that this host is on: its slice, and the public addresses of the other members, in order."""

    network: NamedNetwork
    slice: IPv4Network
    members: tuple[IPAddress, ...] = ()

    @property
    def slice6(self) -> IPv6Network | None:
        """Return this host's IPv6 slice, None without IPv6."""
        return self.network.slice6(self.slice)

    @property
    def bridge(self) -> str:
        """Return the link name of Docker's bridge."""
        return named_bridge(self.network.vni)

    @property
    def port(self) -> str:
        """Return the link name of our VXLAN device."""
        return named_port(self.network.vni)


@dataclass(frozen=True, slots=True)
class NamedView:
    """The networks that this host is on, by name. Until `listed` etcd has not told of them: nothing is deleted."""

    networks: tuple[Joined, ...] = ()
    listed: bool = True


@dataclass(frozen=True, slots=True)
class KeptOut:
    """Why this host is not on networks that are defined for it, by their names.

    `refused`: the definition cannot be used here. `without`: no slice is to be had. `by_docker`: this host is on it,
    and Docker has not made it, or not as it should be; in the words of root's side, which asked Docker.
    """

    refused: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    without: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    by_docker: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
