"""Contention of two leases: the one judged later could be refused because of the other. Pure."""

from __future__ import annotations

from flanpy.model.address import Family
from flanpy.model.lease import Lease, VxlanData, WireguardData
from flanpy.plan.space import numbers


def contend(one: Lease, other: Lease) -> bool:
    """Report contention by subnet, public address, VTEP MAC or public key; may report too much, never too little."""
    return any(_contend(one, other, family) for family in Family)


def _contend(one: Lease, other: Lease, family: Family) -> bool:
    if _holds(one, other, family) or _holds(other, one, family):
        return True
    mine, theirs = one.record.data(family), other.record.data(family)
    if isinstance(mine, WireguardData) and isinstance(theirs, WireguardData):
        return mine.public_key == theirs.public_key
    return isinstance(mine, VxlanData) and isinstance(theirs, VxlanData) and mine.mac == theirs.mac


def _holds(one: Lease, other: Lease, family: Family) -> bool:
    """Report whether the subnet of `one` holds the first address of `other`'s subnet, or its public address."""
    subnet = one.key.of(family)
    if subnet is None:
        return False
    start, end = numbers(subnet)
    inside, public = other.key.of(family), other.record.public(family)
    return (inside is not None and start <= int(inside.network_address) <= end) or (
        public is not None and start <= int(public) <= end
    )
