"""The difference between desired and observed, as operations in dependency order.

Deletions come first, in reverse phase order, then puts in phase order. Whether deletions may be carried out at
all is not decided here but in `plan.gates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flanpy.model.objects import (
    HostSysctl,
    KernelObject,
    Key,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    OtherLink,
    OtherRoute,
    Route,
    VxlanLink,
)
from flanpy.plan.ops import Delete, Objects, Op, Put
from flanpy.plan.ownership import Observed, link_of

IN_PLACE = ("mac", "mtu", "alias", "local", "parent", "learning")
"""VxlanLink attributes that the kernel changes without a new device (drivers/net/vxlan, vxlan_changelink)."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A foreign object stands on a key that we want."""

    wanted: KernelObject
    found: KernelObject


@dataclass(frozen=True, slots=True)
class Difference:
    """What separates observed from desired. `deletes` and `puts` are in the order in which to apply them.

    A link that must be replaced is both: deleted, then put. `blocked` are objects that cannot be put because their
    link is held by someone else.
    """

    deletes: tuple[Delete, ...] = ()
    puts: tuple[Put, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    blocked: int = 0

    @property
    def ops(self) -> tuple[Op, ...]:
        return (*self.deletes, *self.puts)


def diff(desired: Objects, observed: Observed, *, may_replace: bool = True) -> Difference:
    """Compare. Cost is one dictionary look-up for each object, desired or owned.

    With `may_replace` False a link that would need a new device is left as it stands, for replacing it is deletion.
    """
    conflicts = _conflicts(desired, observed.foreign)
    refused = {conflict.wanted.key for conflict in conflicts}
    taken = {obj.name for obj in (c.wanted for c in conflicts) if isinstance(obj, VxlanLink)}
    unfit = _unfit_links(desired, observed.owned)
    replaced = unfit if may_replace else frozenset()
    puts: list[Put] = []
    blocked = 0
    for key, wanted in desired.items():
        found = observed.owned.get(key)
        if found is wanted:
            continue
        if replaced and _home(wanted) in replaced:
            found = None
        if found is not None and _equal(wanted, found):
            continue
        if key in refused or _satisfied_by_foreign(wanted, observed.foreign.get(key)):
            continue
        if unfit and not may_replace and isinstance(wanted, VxlanLink) and wanted.name in unfit:
            continue
        if taken and link_of(wanted) in taken:
            blocked += 1
            continue
        puts.append(Put(wanted, found))
    puts.sort(key=lambda put: put.obj.phase)
    deletes = _deletes(desired, observed.owned, replaced)
    return Difference(deletes=deletes, puts=tuple(puts), conflicts=conflicts, blocked=blocked)


def cleanup_ops(observed: Observed) -> tuple[Delete, ...]:
    """Everything of ours, to be removed: the difference to a world in which nothing is desired."""
    return diff({}, observed).deletes


def _home(obj: KernelObject) -> str | None:
    """The link that `obj` is, or lives on."""
    return obj.name if isinstance(obj, VxlanLink) else link_of(obj)


def _equal(wanted: KernelObject, found: KernelObject) -> bool:
    if isinstance(wanted, Route) and isinstance(found, Route) and found.proto != wanted.proto:
        return False  # left by flannel on our link: adopted by writing our protocol number into it
    return wanted == found


def _conflicts(desired: Objects, foreign: Mapping[Key, KernelObject]) -> tuple[Conflict, ...]:
    return tuple(
        Conflict(desired[key], found)
        for key, found in foreign.items()
        if key in desired and not _satisfied_by_foreign(desired[key], found)
    )


def _satisfied_by_foreign(wanted: KernelObject, found: KernelObject | None) -> bool:
    """Someone else's route that forwards just as ours would is left alone, and does our job."""
    if not isinstance(wanted, Route) or not isinstance(found, Route):
        return False
    return replace(found, proto=wanted.proto, onlink=wanted.onlink) == wanted


def _unfit_links(desired: Objects, owned: Mapping[Key, KernelObject]) -> frozenset[str]:
    """Links of ours that stand with attributes which only a new device can have."""
    names = set()
    for key, wanted in desired.items():
        if isinstance(wanted, VxlanLink):
            found = owned.get(key)
            if isinstance(found, VxlanLink) and not _changeable(wanted, found):
                names.add(wanted.name)
    return frozenset(names)


def _changeable(wanted: VxlanLink, found: VxlanLink) -> bool:
    same = {name: getattr(wanted, name) for name in IN_PLACE}
    return replace(found, **same) == wanted


def _deletes(
    desired: Objects, owned: Mapping[Key, KernelObject], replaced: frozenset[str]
) -> tuple[Delete, ...]:
    doomed = [obj for key, obj in owned.items() if key not in desired and _deletable(obj)]
    doomed += [owned["link", name] for name in sorted(replaced)]
    dying = {obj.name for obj in doomed if isinstance(obj, VxlanLink)}
    deletes = [Delete(obj) for obj in doomed if link_of(obj) not in dying]
    return tuple(sorted(deletes, key=lambda op: -op.obj.phase))


def _deletable(obj: KernelObject) -> bool:
    """Settings always have some value, and links of ours are never merely taken down."""
    return not isinstance(obj, LinkFeature | LinkSysctl | HostSysctl | LinkUp | OtherLink | OtherRoute)


def objects_by_key(objects: Iterable[KernelObject]) -> dict[Key, KernelObject]:
    return {obj.key: obj for obj in objects}
