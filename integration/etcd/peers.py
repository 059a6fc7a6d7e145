"""Owns simulated peers: leases in etcd of hosts that do not exist, written fast, for benchmarks at scale."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import islice

from integration.etcd.api import ETCD_PREFIX, TXN_OPS, EtcdApi

LEASE_TTL_S = 86_400
_FIRST_PUBLIC_IP = IPv4Address("10.99.16.1")  # behind the lab's own rows, on the same segment


@dataclass(frozen=True, slots=True)
class Peer:
    """One lease as a vxlan flannel host would write it."""

    subnet: IPv4Network
    public_ip: IPv4Address
    vtep_mac: str
    vni: int = 1

    @property
    def key(self) -> str:
        """Its etcd key under the prefix's subnets/."""
        return f"{self.subnet.network_address}-{self.subnet.prefixlen}"

    @property
    def value(self) -> str:
        """Its etcd value, in flannel's field order."""
        return json.dumps({
            "PublicIP": str(self.public_ip),
            "PublicIPv6": None,
            "BackendType": "vxlan",
            "BackendData": {"VNI": self.vni, "VtepMAC": self.vtep_mac},
        }, separators=(",", ":"))  # fmt: skip


def simulated_peers(count: int, *, network: str, subnet_len: int = 24, first: int = 100) -> tuple[Peer, ...]:
    """`count` peers on the network's subnets from number `first` on; ValueError when they do not fit."""
    subnets = islice(IPv4Network(network).subnets(new_prefix=subnet_len), first, first + count)
    peers = tuple(
        Peer(subnet, _FIRST_PUBLIC_IP + number, f"02:fa:{_mac_tail(number)}")
        for number, subnet in enumerate(subnets)
    )
    if len(peers) < count:
        raise ValueError(f"{network} has no room for {count} /{subnet_len} from number {first} on")
    return peers


def _mac_tail(number: int) -> str:
    return ":".join(f"{octet:02x}" for octet in number.to_bytes(4, "big"))


def write_peers(api: EtcdApi, peers: Sequence[Peer], *, prefix: str = ETCD_PREFIX, ops: int = TXN_OPS) -> int:
    """Put all leases, bound to one etcd lease of a day; `ops` a transaction. Returns the etcd lease's id."""
    lease = api.grant(LEASE_TTL_S)
    api.put_all(_pairs(peers, prefix), lease=lease, ops=ops)
    return lease


def _pairs(peers: Sequence[Peer], prefix: str) -> Iterator[tuple[str, str]]:
    return ((f"{prefix}/subnets/{peer.key}", peer.value) for peer in peers)
