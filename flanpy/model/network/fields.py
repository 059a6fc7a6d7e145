"""The words of a network config: its fields, flannel's backends and their options, and what each means.

Parsing, completion and the reference ask here. Owns names and meanings, no rule: those of the network stand in
`network_pool`, those of a backend with the backend.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

BACKEND_OPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "vxlan": ("VNI", "Port", "MTU", "GBP", "Learning", "DirectRouting"),
        "udp": ("Port",),
        "host-gw": (),
        "ipip": ("DirectRouting",),
        "wireguard": (
            "ListenPort",
            "ListenPortV6",
            "MTU",
            "PSK",
            "PersistentKeepaliveInterval",
            "Mode",
        ),
        "extension": ("PreStartupCommand", "PostStartupCommand", "SubnetAddCommand", "SubnetRemoveCommand"),
        "alloc": (),
        "aws-vpc": ("RouteTableID", "DirectRouting"),
        "gce": ("DirectRouting",),
    }
)
"""flannel's backends and the spelling of their options."""

PACKETLESS = frozenset({"alloc"})
"""Backends whose hosts send each other no packets."""

SECRET_OPTIONS = frozenset({"psk"})
"""Options of backends, in lower case, whose values only `network show -o json` shows, for root to edit."""

MASK = "********"

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "VNI": "number of the VXLAN, on the wire and in the device's name (default 1)",
        "Port": "UDP port (default of vxlan 8472, of udp 8285)",
        "MTU": "MTU of the overlay, if it is not to follow the underlay's",
        "GBP": "group policy extension of VXLAN (default false)",
        "Learning": "the device learns addresses from packets (default false)",
        "DirectRouting": "plain routes to peers on the same L2 segment (default false)",
        "ListenPort": "UDP port of WireGuard's packets, for the overlay's IPv4 (default 51820)",
        "ListenPortV6": "the same for its IPv6, which has a device of its own in Mode separate (default 51821)",
        "PSK": "a key of 32 bytes in base64 that all hosts have beside their own (wg genpsk); who reads etcd has it",
        "PersistentKeepaliveInterval": "seconds after which a silent host sends a packet, for hosts behind NAT (default"
        " 0, never)",
        "Mode": "separate, a device for each family (the default), or one device for both whose packets go by IPv4"
        " (ipv4), by IPv6 (ipv6), or by what a host has (auto)",
        "RouteTableID": "id of the VPC's route table, or a list (default: each by which packets of some host go)",
        "PreStartupCommand": "run before the host's lease is written; what it prints is its BackendData",
        "PostStartupCommand": "run once the lease stands",
        "SubnetAddCommand": "run for each peer that comes",
        "SubnetRemoveCommand": "run for each peer that goes",
    }
)
"""What the options of the backends that are here mean."""

FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "Network": "the IPv4 range of all hosts; it has to be there unless EnableIPv4 is false",
        "SubnetLen": "prefix length of a host's subnet (default 24, at least two more than Network's)",
        "SubnetMin": "first subnet that may be leased (default the second of Network)",
        "SubnetMax": "last subnet that may be leased (default the last of Network)",
        "EnableIPv4": "whether hosts lease IPv4 subnets (default true)",
        "EnableIPv6": "whether hosts lease IPv6 subnets (default false)",
        "EnableNFTables": "nftables for hosts without Docker's rules whose --filter-backend is auto (default false)",
        "IPv6Network": "the IPv6 range of all hosts",
        "IPv6SubnetLen": "prefix length of a host's IPv6 subnet (default 64, at least two more than IPv6Network's)",
        "IPv6SubnetMin": "first IPv6 subnet that may be leased (default the second)",
        "IPv6SubnetMax": "last IPv6 subnet that may be leased (default the last)",
        "Deliberate": "a Backend that leads nowhere (alloc) is meant, so that running hosts obey it (flanpy's own;"
        " network set --force writes it)",
        "InClear": "the Backend before the network was encrypted, for network set --no-encrypt (flanpy's own; network"
        " set --encrypt writes it)",
        "Backend": "how packets go between hosts: an object with Type and that backend's options (default udp)",
    }
)
"""The fields of a network config, flannel's and one of our own, and what they mean."""

SPELLING = {name.lower(): name for name in FIELDS}
"""The fields' spelling by their name in lower case: Go matches keys in whatever case."""
