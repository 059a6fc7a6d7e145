"""Kernel objects that can be wanted: links, addresses, tunnels, neighbours, FDB entries, routes, sysctls, filter rules.

Each is a frozen value with a `key` (its identity: at most one object per key exists in the
kernel), a `phase` (its place in the order of puts) and the other `traits` of its kind.

Why a VXLAN peer is three objects. The *route* sends the peer's subnet to the peer's VTEP address, the
*neighbour* turns that address into the VTEP's MAC (the job of ARP), and the *FDB entry* turns the MAC
into the peer's underlay address. The kernel asks for them in the order route, neighbour, FDB, so they
are put in the opposite order: a route that stands first would make the kernel ARP into the void.
"""

from __future__ import annotations

from flanpy.model.ipip import IpipLink
from flanpy.model.key import Key
from flanpy.model.objects.entries import FdbEntry, FloodEntry, Neighbour
from flanpy.model.objects.extension import ExtensionPeer, ExtensionStart
from flanpy.model.objects.links import (
    Address,
    BridgePort,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    OtherLink,
    TunLink,
    VxlanLink,
)
from flanpy.model.objects.routes import (
    BLACKHOLE_METRIC,
    MAIN_TABLE,
    ROUTE_PROTO,
    Blackhole,
    LocalRoute,
    OtherRoute,
    Route,
)
from flanpy.model.objects.settings import HostSysctl
from flanpy.model.objects.tunnel import TunnelEnd, TunnelPeer
from flanpy.model.packet_filter import FilterChain, FilterJump, FilterMember
from flanpy.model.wireguard import WgDevice, WgPeer, WireguardLink

OwnLink = VxlanLink | TunLink | IpipLink | WireguardLink
"""Links of the kinds that we make."""

Link = OwnLink | OtherLink

Setting = LinkFeature | LinkSysctl | HostSysctl
"""Objects that always have a value in the kernel: they are set, never created or deleted."""

KernelObject = (
    VxlanLink
    | TunLink
    | IpipLink
    | WireguardLink
    | WgDevice
    | WgPeer
    | OtherLink
    | LinkFeature
    | LinkSysctl
    | BridgePort
    | Address
    | LinkUp
    | TunnelEnd
    | TunnelPeer
    | ExtensionStart
    | ExtensionPeer
    | Neighbour
    | FdbEntry
    | FloodEntry
    | Route
    | Blackhole
    | LocalRoute
    | OtherRoute
    | HostSysctl
    | FilterChain
    | FilterJump
    | FilterMember
)

__all__ = [
    "BLACKHOLE_METRIC",
    "MAIN_TABLE",
    "ROUTE_PROTO",
    "Address",
    "Blackhole",
    "BridgePort",
    "ExtensionPeer",
    "ExtensionStart",
    "FdbEntry",
    "FilterChain",
    "FilterJump",
    "FilterMember",
    "FloodEntry",
    "HostSysctl",
    "IpipLink",
    "KernelObject",
    "Key",
    "Link",
    "LinkFeature",
    "LinkSysctl",
    "LinkUp",
    "LocalRoute",
    "Neighbour",
    "OtherLink",
    "OtherRoute",
    "OwnLink",
    "Route",
    "Setting",
    "TunLink",
    "TunnelEnd",
    "TunnelPeer",
    "VxlanLink",
    "WgDevice",
    "WgPeer",
    "WireguardLink",
]
