"""Admission of the next view based on the last, without judging every lease again.

As long as no two leases contend (overlap, hold each other's public address, or share a MAC) the order in which they
are judged does not matter: removing some cannot admit others, and a new lease is judged against the rest alone. If
two contend, the younger was refused; so only a lease that contends with no refused one can come or go by itself.
Hence only new leases are judged, unless one that came or went contends: then all are. `admit_from` is a pure function
with the result of `admit`, for any `previous` (tests assert it). Leases are told apart by `id`, which is sound as
`Judged` holds on to them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flanpy.model.lease import Lease
from flanpy.model.world import World
from flanpy.plan.admission import Admission, Judge, admission, by_age, created, judged, own_addresses
from flanpy.plan.border import same_borders
from flanpy.plan.contention import contend
from flanpy.plan.refusal import Reason, Rejected

_CONTENTION = frozenset(
    {
        Reason.OVERLAPS_OWN,
        Reason.OVERLAPS_OLDER,
        Reason.COVERS_UNDERLAY,
        Reason.PUBLIC_IP_INSIDE_SUBNET,
        Reason.DUPLICATE_VTEP_MAC,
    }
)

_MOST_PAIRS = 2_000
"""Comparisons that cost about as much as judging a thousand leases again."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An admission, and the state needed to judge the next view. `peers` are by the id of the lease in the view.

    `judge` knows those admitted; it is copied before it learns of others. None without a network.
    """

    world: World
    admission: Admission = field(default_factory=Admission)
    leases: Mapping[int, Lease] = field(default_factory=dict)
    peers: Mapping[int, Lease] = field(default_factory=dict)
    judge: Judge | None = None


def admit_from(previous: Judged | None, world: World) -> Judged:
    """Return the same admission as `admit`; the same object as before if nothing changed."""
    if world.network is None:
        return Judged(world)
    if previous is not None and previous.judge is not None and _same_measures(previous.world, world):
        if previous.world.view.leases is world.view.leases:
            return previous
        return _moved_on(previous, previous.judge, world) or _anew(world)
    return _anew(world)


def _same_measures(old: World, new: World) -> bool:
    """Report whether both worlds judge leases by the same network, identity, own lease and addresses."""
    return (
        old.network == new.network
        and old.former == new.former
        and old.policy == new.policy
        and old.withheld == new.withheld
        and old.revoked == new.revoked
        and (old.own is new.own or _identity(old.own) == _identity(new.own))
        and (old.facts is new.facts or own_addresses(old) == own_addresses(new))
        and same_borders(old, new)
    )


def _identity(own: Lease | None) -> object:
    return None if own is None else (own.key, own.record)


def _contended(rejected: Iterable[Rejected]) -> list[Lease]:
    """Return the leases that were refused because of others."""
    return [one.lease for one in rejected if one.reason in _CONTENTION]


def _anew(world: World) -> Judged:
    leases = by_age(world.view.leases.values())
    judge, peers, rejected = judged(world, leases)
    return Judged(
        world, admission(peers.values(), rejected), {id(lease): lease for lease in leases}, peers, judge
    )


def _judged(judge: Judge, leases: Iterable[Lease], rejected: list[Rejected]) -> dict[int, Lease]:
    verdicts = ((id(lease), judge.peer(lease, rejected)) for lease in leases)
    return {key: peer for key, peer in verdicts if peer is not None}


def _moved_on(previous: Judged, last: Judge, world: World) -> Judged | None:
    """Return `previous` without the leases that went and with those that came; None if order begins to matter."""
    values = world.view.leases.values()
    leases = dict(zip(map(id, values), values, strict=True))
    gone = previous.leases.keys() - leases.keys()
    came = leases.keys() - previous.leases.keys()
    moved = [*(previous.leases[key] for key in gone), *(leases[key] for key in came)]
    if last.bars(gone) or _touch(moved, _contended(previous.admission.rejected)):
        return None
    judge, peers = last.copy(world), dict(previous.peers)
    left = {key: peers.pop(key) for key in gone if key in peers}
    for peer in left.values():
        judge.release(peer)
    before = (*previous.admission.rejected, *previous.admission.reserved)
    standing = [one for one in before if id(one.lease) not in gone]
    faults: list[Rejected] = []
    admitted = _judged(judge, by_age(leases[key] for key in came), faults)
    ordered = _merged(previous.admission.peers, left.values(), admitted.values())
    contended = judge.displaced or _contended(faults)
    if ordered is None or contended or not _distinct_ages(standing, faults):
        return None
    peers.update(admitted)
    rejected = sorted([*standing, *faults], key=_age)
    return Judged(world, admission(ordered, rejected), leases, peers, judge)


def _touch(moved: Sequence[Lease], refused: Sequence[Lease]) -> bool:
    """Report whether a refusal of any of these may depend on leases that came or went."""
    if len(moved) * len(refused) > _MOST_PAIRS:
        return True
    return any(contend(one, other) for one in moved for other in refused if one is not other)


def _merged(
    peers: tuple[Lease, ...], left: Iterable[Lease], came: Iterable[Lease]
) -> tuple[Lease, ...] | None:
    """Return `peers` in order of creation, without and with some; None if a new one is as old as another."""
    away = {*map(id, left)}
    ordered = [peer for peer in peers if id(peer) not in away] if away else [*peers]
    for peer in came:
        place = bisect_right(ordered, peer.create_revision, key=created)
        if place and ordered[place - 1].create_revision == peer.create_revision:
            return None
        ordered.insert(place, peer)
    return tuple(ordered)


def _age(rejected: Rejected) -> int:
    return rejected.lease.create_revision


def _distinct_ages(standing: Iterable[Rejected], faults: Iterable[Rejected]) -> bool:
    return {*map(_age, standing)}.isdisjoint(map(_age, faults))
