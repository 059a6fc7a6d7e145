"""The border of a host: which ranges an overlay may have here, and the addresses of etcd.

Owns the ranges that are allowed without being named. Knows no rule: `plan.border` and `plan.allowed` judge by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from flanpy.model.address import IPAddress, IPNetwork

PRIVATE: tuple[IPNetwork, ...] = (
    IPv4Network("10.0.0.0/8"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("100.64.0.0/10"),
    IPv6Network("fc00::/7"),
)
"""Ranges for networks of one's own: RFC 1918, RFC 6598 and RFC 4193."""


@dataclass(frozen=True, slots=True)
class EtcdAddress:
    """One address of an endpoint; `endpoint` is the endpoint as the operator wrote it, without anything secret."""

    endpoint: str
    address: IPAddress


@dataclass(frozen=True, slots=True)
class KnownBorder:
    """The state of its border that a host keeps on disk: the ranges of the first config seen, and etcd's addresses."""

    first: tuple[IPNetwork, ...] = ()
    etcd: tuple[EtcdAddress, ...] = ()
