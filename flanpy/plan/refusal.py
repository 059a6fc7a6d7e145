"""The refusals of leases: the reasons there are, and the sentences that name both sides. Pure.

`plan.admission` decides which of them applies.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from flanpy.model.address import IPNetwork, Mac
from flanpy.model.lease import Lease
from flanpy.model.revocation import Revocation
from flanpy.model.world import World
from flanpy.plan.space import Vtep


class Reason(Enum):
    """Why a lease, or one family of it, is not a peer."""

    RESERVED = "Reserved"
    OTHER_BACKEND = "OtherBackend"
    NO_PUBLIC_IP = "NoPublicIP"
    NO_BACKEND_DATA = "NoBackendData"
    DUPLICATE_PUBLIC_IP = "DuplicatePublicIP"
    DUPLICATE_VTEP_MAC = "DuplicateVtepMAC"
    OUTSIDE_NETWORK = "OutsideNetwork"
    NO_COMMON_FAMILY = "NoCommonFamily"
    OVERLAPS_OWN = "OverlapsOwn"
    OVERLAPS_OLDER = "OverlapsOlder"
    COVERS_UNDERLAY = "CoversUnderlay"
    PUBLIC_IP_INSIDE_SUBNET = "PublicIPInsideSubnet"
    TAKES_WAY = "TakesWay"
    WITHHELD = "Withheld"
    REVOKED = "Revoked"


_MAC_BYTES: Final = 6

BORDER: Final = frozenset({Reason.TAKES_WAY, Reason.COVERS_UNDERLAY, Reason.WITHHELD})
"""The refusals by which this host keeps its ways to etcd, its gateways and its underlay."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A lease that is not programmed, and why; `message` is one line that names both sides."""

    lease: Lease
    reason: Reason
    message: str


def withheld(lease: Lease) -> tuple[Reason, str]:
    """Word the refusal of a lease that etcd may have been lost by."""
    return Reason.WITHHELD, (
        f"subnet {lease.key} of {lease.record.owner} is withheld: etcd fell silent when it got its route, so the way to"
        " etcd may lead through it; see what this host's packets to etcd pass (translated addresses, tunnels), then"
        " change or release the lease"
    )


def revoked(lease: Lease, one: Revocation) -> tuple[Reason, str]:
    """Word the refusal of a lease of a host that was shut out, or with a key of it."""
    by_node = bool(one.node_id) and lease.record.node_id == one.node_id
    how = "was revoked" if by_node else f"has a WireGuard key of {one.name}, which was revoked"
    return Reason.REVOKED, (
        f"lease {lease.key} of {lease.record.owner} is refused: that host {how}; flanpyctl keys allow takes it back"
    )


def overlap(lease: Lease, subnet: IPNetwork, older: Lease | None, world: World) -> tuple[Reason, str]:
    if older is None:
        own = world.own
        assert own is not None
        message = f"subnet {subnet} of {lease.record.owner} overlaps our own {own.key} (node {world.policy.node_id})"
        return Reason.OVERLAPS_OWN, message
    return (
        Reason.OVERLAPS_OLDER,
        f"subnet {subnet} of {lease.record.owner} overlaps older {older.key} of {older.record.owner}",
    )


def _what(identity: bytes) -> str:
    """Name a MAC, or WireGuard's public key, which is longer."""
    return f"VTEP MAC {Mac(identity)}" if len(identity) == _MAC_BYTES else f"public key {identity.decode()}"


def same_mac(lease: Lease, mac: bytes, other: Vtep, world: World) -> tuple[Reason, str]:
    """Word the refusal: two hosts with one MAC would overwrite each other's FDB entry; usually one is a clone."""
    first = other.owner
    whose = (
        f"{'older ' if lease.record.node_id else ''}lease {first.key} of {first.record.owner}"
        if first is not None
        else f"ours (node {world.policy.node_id})"
    )
    message = f"lease {lease.key} of {lease.record.owner} has the {_what(mac)} of {whose}"
    if not lease.record.node_id:
        cure = "and names no node, so the MAC is not its own: release it with flanpyctl subnets release"
        return Reason.DUPLICATE_VTEP_MAC, f"{message}, {cure}"
    return Reason.DUPLICATE_VTEP_MAC, f"{message}: give a cloned host a machine id of its own"
