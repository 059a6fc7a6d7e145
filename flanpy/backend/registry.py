"""The backends by their name in the network config: an explicit table, nothing registers itself."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from flanpy.backend.port import Backend
from flanpy.backend.vxlan import VxlanBackend
from flanpy.errors import ConfigError

BACKENDS: Mapping[str, Backend] = MappingProxyType({"vxlan": VxlanBackend()})


def backend_for(name: str) -> Backend:
    """The backend called `name` (lower case). Raises ConfigError that names the nearest one there is."""
    try:
        return BACKENDS[name]
    except KeyError:
        near = get_close_matches(name, BACKENDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(sorted(BACKENDS))}"
        raise ConfigError(
            f"Backend.Type of the network config is {name!r}, which flanpy does not have: {hint}"
        ) from None
