"""The gates: when deletions may be carried out at all, and the brake on mass deletion.

A reconciler's own risk is that one wrong desired state can harm everything at once. So nothing is ever deleted
before the desired state is known (leases listed, own lease confirmed by etcd, network config parsed) and the observed
state too (kernel read back). Many peers are deleted at once only if etcd reported each deletion, or if two listings
agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network

from flanpy.model.address import IPNetwork
from flanpy.model.lease import LeaseView
from flanpy.model.objects import KernelObject, Key
from flanpy.model.ops import Delete
from flanpy.model.world import World

BRAKE_COUNT = 10
"""Up to this many peers may go at once without further questions."""


class Gate(Enum):
    """Why deletions wait. The value is the reason shown to people."""

    LEASES_NOT_LISTED = "the leases were not listed yet since start"
    NETWORK_UNKNOWN = "no valid network config was read yet"
    OWN_LEASE_UNCONFIRMED = "etcd has not confirmed our own lease yet"
    KERNEL_NOT_READ = "the kernel was not read back yet"


def closed_gate(world: World, *, trusted: bool) -> Gate | None:
    """Return the first gate that is closed for deletions, None when all are open.

    A stale view closes none: the last listing holds until news comes, and absence of news deletes nothing.
    """
    if not trusted:
        return Gate.KERNEL_NOT_READ
    if not world.view.in_sync:
        return Gate.LEASES_NOT_LISTED
    if world.network is None:
        return Gate.NETWORK_UNKNOWN
    if world.own is None or not world.own_confirmed:
        return Gate.OWN_LEASE_UNCONFIRMED
    return None


@dataclass(frozen=True, slots=True)
class Hold:
    """Deletions held by the brake: how many, out of how many peers, and the listing that did not suffice."""

    peers: int
    present: int
    listing: int


def brake(
    deletes: Sequence[Delete],
    owned: Mapping[Key, KernelObject],
    view: LeaseView,
    *,
    held: Hold | None,
    withheld: Collection[IPNetwork] = (),
) -> Hold | None:
    """Decide whether `deletes` wait for a second listing. Return the hold, None to go on.

    Peers are counted by their subnets (routes, places in a tunnel's table), a dual-stack peer once, and as gone only if
    nothing leads there any more. A peer counts as explained if etcd sent a delete event for its key in a revision that
    deleted few keys: `etcdctl del --prefix` is one careless revision, not a decision for each peer. Any later listing
    releases `held`: two listings then agree on
    these deletions, and the others cannot be more than half. A listing of an etcd that lost data (wiped, restored)
    releases none, however few: the missing hosts are about to register again, and open connections to them need not
    break. Subnets that are `withheld` go by this host's own decision, and count for nothing.
    """
    doomed = {to for op in deletes for to in op.obj.destinations if to not in withheld}
    if len(doomed) <= BRAKE_COUNT and not view.doubtful:
        return None
    deleted = {op.obj.key for op in deletes}
    stay = {to for key, obj in owned.items() if key not in deleted for to in obj.destinations}
    present = _peers(stay | doomed)
    count = _peers(doomed - stay - _explained(view))
    if not count or not (view.doubtful or (count > BRAKE_COUNT and count * 2 > present)):
        return None
    if held is not None and view.listings > held.listing and not (view.stale or view.doubtful):
        return None
    return Hold(count, present, held.listing if held is not None else view.listings)


def _peers(subnets: Set[IPNetwork]) -> int:
    """Count the peers that have these subnets: each peer has at most one of either family."""
    return max(Counter(subnet.version for subnet in subnets).values(), default=0)


def _explained(view: LeaseView) -> frozenset[IPNetwork]:
    per_revision = Counter(view.deletions.values())
    return frozenset(
        network
        for key, revision in view.deletions.items()
        if per_revision[revision] <= BRAKE_COUNT
        for network in _networks(key)
    )


def _networks(key: str) -> tuple[IPNetwork, ...]:
    """Return the subnets in the text of a subnet key; empty for an invalid key (then it explains nothing)."""
    try:
        return tuple(ip_network("/".join(part.rsplit("-", 1))) for part in key.split("&"))
    except ValueError:
        return ()
