"""The desired objects of a world, and how to plan the next world from the last without planning every peer again.

The objects of one peer depend only on its lease and on the `PeerPlanner`: our side of the overlay, as far as peers are
planned from it (our own MTU and address are not part of that). So while the planner stays equal, an unchanged lease
object still adds the same objects. `plan_from` uses that: it is a pure function that returns the same `objects` as
planning from nothing, for any `previous` (tests assert it), and it names the keys that differ from the previous ones.
One lease put among 1,000 costs the planning of three objects; finding it costs a few set operations in C.

Leases are told apart by `id`, which is sound as the groups hold on to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from flanpy.model.lease import Lease
from flanpy.model.objects import KernelObject, Key
from flanpy.model.ops import Objects


class PeerPlanner(Protocol):
    """The local side of the overlay. Equal planners plan equal objects for equal leases; `fixed` may differ."""

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        """Return the objects that do not depend on peers: the device and its own objects."""

    def peer(self, lease: Lease) -> Iterable[KernelObject]:
        """Return the objects needed to reach the peer with this lease."""

    def unreached(self, lease: Lease) -> bool:
        """Report whether this backend has no path from here to the peer, or to one of its subnets."""


@dataclass(frozen=True, slots=True)
class Group:
    """The objects that one lease adds."""

    lease: Lease
    objects: Mapping[Key, KernelObject]


@dataclass(frozen=True, slots=True)
class Planned:
    """Desired objects, and what is needed to plan the next ones.

    `changed` are the keys on which `objects` may differ from those of the `Planned` this one came from; None: any.
    `disjoint`: no two groups want the same key. `unreached` are leases that the backend has no path to, by their id.
    """

    planner: PeerPlanner
    fixed: tuple[KernelObject, ...]
    peers: Sequence[Lease]
    groups: Mapping[int, Group]
    objects: Objects
    disjoint: bool
    unreached: Mapping[int, Lease]
    changed: tuple[Key, ...] | None = None


def plan_all(planner: PeerPlanner, settings: Iterable[KernelObject], peers: Iterable[Lease]) -> Objects:
    """Plan every desired object from nothing. If two share a key, the later lease's wins."""
    objects = {obj.key: obj for obj in (*planner.fixed, *settings)}
    for lease in peers:
        objects.update((obj.key, obj) for obj in planner.peer(lease))
    return objects


def plan_from(
    previous: Planned | None,
    planner: PeerPlanner,
    settings: Sequence[KernelObject],
    peers: Sequence[Lease],
) -> Planned:
    """Plan the same objects as `plan_all`, reusing as much as possible of `previous`."""
    fixed = (*planner.fixed, *settings)
    if previous is None or previous.planner != planner:
        return _anew(planner, fixed, peers, {id(lease): _group(planner, lease) for lease in peers})
    if peers is previous.peers and fixed == previous.fixed:
        return replace(previous, changed=())
    leases = dict(zip(map(id, peers), peers, strict=True))
    gone = previous.groups.keys() - leases.keys()
    new = {key: _group(planner, leases[key]) for key in leases.keys() - previous.groups.keys()}
    if previous.disjoint and fixed == previous.fixed:
        moved_on = _moved_on(previous, peers, gone, new)
        if moved_on is not None:
            return moved_on
    return _anew(planner, fixed, peers, {key: new.get(key) or previous.groups[key] for key in leases})


def _group(planner: PeerPlanner, lease: Lease) -> Group:
    return Group(lease, {obj.key: obj for obj in planner.peer(lease)})


def _anew(
    planner: PeerPlanner,
    fixed: tuple[KernelObject, ...],
    peers: Sequence[Lease],
    groups: Mapping[int, Group],
) -> Planned:
    objects = {obj.key: obj for obj in fixed}
    for group in groups.values():
        objects.update(group.objects)
    total = len(fixed) + sum(len(group.objects) for group in groups.values())
    unreached = {key: group.lease for key, group in groups.items() if planner.unreached(group.lease)}
    return Planned(planner, fixed, peers, groups, objects, len(objects) == total, unreached)


def _moved_on(
    previous: Planned, peers: Sequence[Lease], gone: Iterable[int], new: Mapping[int, Group]
) -> Planned | None:
    """Return `previous` without some groups and with others. None if groups share a key: order would then matter."""
    groups, objects = dict(previous.groups), dict(previous.objects)
    changed: dict[Key, None] = {}
    for key in gone:
        for lost in groups.pop(key).objects:
            del objects[lost]
            changed[lost] = None
    for key, group in new.items():
        if not objects.keys().isdisjoint(group.objects):
            return None
        groups[key] = group
        objects.update(group.objects)
        changed.update(dict.fromkeys(group.objects))
    unreached = {key: lease for key, lease in previous.unreached.items() if key in groups}
    unreached |= {key: group.lease for key, group in new.items() if previous.planner.unreached(group.lease)}
    return replace(
        previous, peers=peers, groups=groups, objects=objects, unreached=unreached, changed=tuple(changed)
    )
