"""The backends by their name in the network config: an explicit table, nothing registers itself."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from flanpy.backend.alloc import AllocBackend
from flanpy.backend.cloud import BACKENDS as CLOUD_BACKENDS
from flanpy.backend.extension import ExtensionBackend
from flanpy.backend.host_gw import HostGwBackend
from flanpy.backend.ipip import IpipBackend
from flanpy.backend.port import Backend
from flanpy.backend.udp import UdpBackend
from flanpy.backend.vxlan import VxlanBackend
from flanpy.backend.wireguard import WireguardBackend
from flanpy.errors import ConfigError
from flanpy.model.cloud import CLOUDS
from flanpy.model.network.network import NetworkConfig
from flanpy.model.quoting import quoted

_VXLAN, _WIREGUARD = VxlanBackend(), WireguardBackend()

BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "vxlan": _VXLAN,
        "host-gw": HostGwBackend(),
        "ipip": IpipBackend(),
        "wireguard": _WIREGUARD,
        "alloc": AllocBackend(),
        "udp": UdpBackend(),
        "extension": ExtensionBackend(),
        **CLOUD_BACKENDS,
    }
)

_IPV4_ONLY = frozenset({"udp", "ipip", *CLOUDS})


def backend_for(name: str) -> Backend:
    """The backend called `name` (lower case). Raises ConfigError that names the nearest one there is."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise ConfigError(
            f"Backend.Type of the network config is {quoted(name)}, which {_lack(name)}"
        ) from None


def validate_network(network: NetworkConfig) -> None:
    """Judge backend, its options and its families. Raises ConfigError naming key, value and cure."""
    name = network.backend_type
    backend_for(name).validate(network.backend_options)
    if name == "vxlan" and network.network6 is not None:
        _VXLAN.validate_ipv6(network.backend_options)
    if name == "wireguard":
        _WIREGUARD.validate_families(network)
    if name in _IPV4_ONLY and network.network6 is not None:
        raise ConfigError(
            f"Backend.Type of the network config is {quoted(name)}, which carries IPv4 only, but IPv6Network is "
            f"{network.network6}: use 'vxlan', or set EnableIPv6 to false"
        )


def _lack(name: str) -> str:
    near = get_close_matches(name, BACKENDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(sorted(BACKENDS))}"
    return f"flanpy does not have: {hint}"
