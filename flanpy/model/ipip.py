"""The device of the ipip backend: packets of IPv4 in packets of IPv4 (RFC 2003), without a port and without a key."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from flanpy.model.put_order import LINK_ALIAS
from flanpy.model.traits import LinkTraits

PROTOCOL: Final = 4
"""IPPROTO_IPIP: the protocol number that a firewall between hosts has to let through."""

OVERHEAD: Final = 20
"""The outer IPv4 header, in bytes."""


@dataclass(frozen=True, slots=True)
class IpipLink(LinkTraits):
    """An IPIP device that sends to any host: the far end is the gateway of each route.

    The kernel hands it each packet of protocol 4 to `local`, from any sender. Whether the outer packet copies the inner
    one's DF bit or always has it is left as found: flannel's device copies, iproute2's always has it.
    """

    name: str
    local: IPv4Address
    mtu: int
    alias: str = LINK_ALIAS

    in_place = ("local", "mtu", "alias")
    """By net/ipv4/ip_tunnel.c, ip_tunnel_changelink: all."""
