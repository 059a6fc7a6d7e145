"""The bridges that Docker makes for us: their names, known to who makes them and to who filters at them."""

from __future__ import annotations

from typing import Final

BRIDGE: Final = "flanpy0"
"""Link name of the network that network mode keeps: fixed, for rules name it before it is there."""

DEFAULT_BRIDGE: Final = "docker0"
"""Link name of Docker's default network, which carries the subnet in bip mode."""

DOCKER_NETWORK: Final = "flanpy"
"""Name of that network in Docker."""

NAMED_BRIDGES: Final = "fb-*"
NAMED_BRIDGES_IPTABLES: Final = "fb-+"
"""Every bridge of a named network, as nft and as iptables name several links."""

_NAMED_BRIDGE, _NAMED_PORT = "fb-", "fv-"


def named_bridge(vni: int) -> str:
    """Return the link name of Docker's bridge of the named network with this VNI, the same on every host."""
    return f"{_NAMED_BRIDGE}{vni}"


def named_port(vni: int) -> str:
    """Return the link name of our VXLAN device in that bridge."""
    return f"{_NAMED_PORT}{vni}"


def is_named_bridge(link: str) -> bool:
    """Report whether a link has the name of a named network's bridge."""
    return link.startswith(_NAMED_BRIDGE)


def is_named_port(link: str) -> bool:
    """Report whether a link has the name of a named network's VXLAN device."""
    return link.startswith(_NAMED_PORT)
