"""The backends by their name in the network config: an explicit table, nothing registers itself."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from flanpy.backend.alloc import AllocBackend
from flanpy.backend.host_gw import HostGwBackend
from flanpy.backend.port import Backend
from flanpy.backend.vxlan import VxlanBackend
from flanpy.errors import ConfigError

BACKENDS: Mapping[str, Backend] = MappingProxyType(
    {
        "vxlan": VxlanBackend(),
        "host-gw": HostGwBackend(),
        "alloc": AllocBackend(),
    }
)

_FLANNELS: Mapping[str, str] = MappingProxyType({"ipip": "vxlan", "wireguard": "vxlan"})
"""Backends of flannel's that are not here yet, and which one carries packets over the same networks instead."""


def backend_for(name: str) -> Backend:
    """The backend called `name` (lower case). Raises ConfigError that names the nearest one there is."""
    try:
        return BACKENDS[name]
    except KeyError:
        raise ConfigError(f"Backend.Type of the network config is {name!r}, which {_lack(name)}") from None


def _lack(name: str) -> str:
    if name in _FLANNELS:
        return f"flannel has and flanpy does not support yet: use {_FLANNELS[name]!r}"
    near = get_close_matches(name, BACKENDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(sorted(BACKENDS))}"
    return f"flanpy does not have: {hint}"
