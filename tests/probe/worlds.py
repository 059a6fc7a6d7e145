"""Targets and tracks to probe."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from flanpy.model.address import Family
from flanpy.model.lease import SubnetKey
from flanpy.probe.target import Target
from flanpy.probe.track import Track


def target(number: int = 1, *, certain: bool = True) -> Target:
    """Peer n, at 10.50.n.0 over 127.1.0.n: the kernel answers for all of loopback."""
    subnet = IPv4Network(((10 << 24) + (50 << 16) + (number << 8), 24))
    under = IPv4Address((127 << 24) + (1 << 16) + number)
    over = IPv4Address((127 << 24) + (2 << 16) + number)
    return Target(SubnetKey(subnet), f"n{number}", Family.IPV4, over, under, 1450, "UDP port 8472", certain)


def track(number: int = 1, *, certain: bool = True) -> Track:
    return Track.of(target(number, certain=certain), number)
