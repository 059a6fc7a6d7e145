"""The keys of named networks: `<prefix>/networks/NAME` and `<prefix>/slices/NAME/10.96.3.0-24`.

A slice's key and value are those of a flannel lease, bound to no etcd lease: Docker keeps the range on disk forever,
and so is the slice its host's until that gives it back. flannel reads neither.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.definition import NamedNetwork

_NETWORKS: Final = "/networks/"
_SLICES: Final = "/slices/"


def networks_prefix(prefix: str) -> str:
    """Return the prefix of every definition's key."""
    return prefix.rstrip("/") + _NETWORKS


def network_key(prefix: str, name: str) -> str:
    """Return the key of one definition."""
    return networks_prefix(prefix) + name


def slices_prefix(prefix: str, name: str = "") -> str:
    """Return the prefix of the slices of one network, or of all."""
    return prefix.rstrip("/") + _SLICES + (f"{name}/" if name else "")


_COUNTED_BITS = 64


def pool_of(network: NamedNetwork) -> NetworkConfig:
    """Return the network as a config, by whose rules its slices are allocated and guarded as leases are.

    The last slice of several is left out where there is an IPv6 subnet of a /64 or wider: Docker 20.10 counts its
    addresses in 64 bits, and refuses each container with "invalid bit range".
    """
    size = 1 << (32 - network.slice_len)
    wide = network.subnet6 is not None and network.subnet6.prefixlen <= _COUNTED_BITS and network.slices > 1
    last = int(network.subnet.broadcast_address) + 1 - size * (2 if wide else 1)
    return NetworkConfig(
        network=network.subnet,
        subnet_len=network.slice_len,
        subnet_min=network.subnet.network_address,
        subnet_max=IPv4Address(last),
    )
