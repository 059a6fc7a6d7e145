"""The difference between desired and observed, as operations in dependency order.

Make before break: links that go are deleted first, as their names and VNIs may be wanted; then come the puts in phase
order; then the other deletions, in reverse phase order. So a route that moves from the tunnel to the LAN has left the
tunnel's neighbour before that goes. Whether deletions may be carried out at all is decided in `plan.gates`.

Objects on a link stand and fall with it: the kernel drops them all when the link is deleted, so a difference that does
that puts them again at once. A change of its MAC costs nothing here: the port keeps the neighbours over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from flanpy.model.objects import (
    KernelObject,
    Key,
    OwnLink,
    Route,
)
from flanpy.model.ops import Delete, Objects, Op, Put
from flanpy.model.put_order import PutOrder
from flanpy.plan.ownership import Observed


@dataclass(frozen=True, slots=True)
class Conflict:
    """A foreign object stands on a key that we want."""

    wanted: KernelObject
    found: KernelObject


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference between observed and desired; `ops` are in the order in which to apply them.

    A link that must be replaced is both: deleted, then put. `blocked` are objects that cannot be put because their
    link belongs to someone else.
    """

    deletes: tuple[Delete, ...] = ()
    puts: tuple[Put, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    blocked: int = 0

    @property
    def ops(self) -> tuple[Op, ...]:
        return in_order(self.deletes, self.puts)


def in_order(deletes: Iterable[Delete], puts: Iterable[Put]) -> tuple[Op, ...]:
    """Return `deletes` and `puts`, each in its own order, interleaved as the module docstring says."""
    first: list[Op] = []
    last: list[Op] = []
    for op in deletes:
        (first if op.obj.phase is PutOrder.LINK else last).append(op)
    return (*first, *puts, *last)


@dataclass(frozen=True, slots=True)
class _Links:
    """The fate of links, by name, as far as it affects the objects on them.

    `taken`: someone else holds the name. `unfit`: ours, but only a new device can have what we want.
    `leaving`: will be deleted before the puts.
    """

    taken: frozenset[str] = frozenset()
    unfit: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()

    @property
    def stir(self) -> bool:
        """Report whether any link needs attention."""
        return bool(self.taken or self.unfit or self.leaving)

    def loses(self, obj: KernelObject) -> bool:
        """Report whether `obj`, which stands now, will be gone by the time of the puts."""
        return _home(obj) in self.leaving


_QUIET = _Links()


def diff(
    desired: Objects,
    observed: Observed,
    *,
    may_replace: bool = True,
    changed: tuple[Key, ...] | None = None,
) -> Difference:
    """Compare. Cost is one dictionary look-up for each object, desired or owned.

    With `may_replace` False nothing will be deleted, so a link that would need a new device is left as it stands.
    `changed` names the only keys on which the two can differ, where the caller knows: all others then cost nothing.
    No link may be among them.
    """
    links = _QUIET if changed is not None else _links(desired, observed, may_replace=may_replace)
    conflicts = _conflicts(desired, observed.foreign, links.taken)
    puts, blocked = _puts(desired, observed, links, changed)
    return Difference(
        deletes=_deletes(desired, observed.owned, links, changed),
        puts=tuple(sorted(puts, key=_phase)),
        conflicts=conflicts,
        blocked=blocked,
    )


def cleanup_ops(observed: Observed) -> tuple[Delete, ...]:
    """Return the operations that remove every object of ours: the difference to a world in which nothing is desired."""
    return diff({}, observed).deletes


def objects_by_key(objects: Iterable[KernelObject]) -> dict[Key, KernelObject]:
    return {obj.key: obj for obj in objects}


def _phase(op: Op) -> int:
    return op.obj.phase


def _home(obj: KernelObject) -> str | None:
    """Return the link that `obj` is, or lives on."""
    return obj.name if isinstance(obj, OwnLink) else obj.home


def _links(desired: Objects, observed: Observed, *, may_replace: bool) -> _Links:
    taken, unfit = set(), set()
    wanted_links = {obj.name: obj for obj in desired.values() if isinstance(obj, OwnLink)}
    for name, wanted in wanted_links.items():
        found = observed.owned.get(wanted.key)
        if wanted.key in observed.foreign:
            taken.add(name)
        elif isinstance(found, OwnLink) and not _changeable(wanted, found):
            unfit.add(name)
    leaving = set(unfit)
    for obj in observed.owned.values():
        if isinstance(obj, OwnLink) and obj.name not in wanted_links:
            leaving.add(obj.name)
    return _Links(
        taken=frozenset(taken),
        unfit=frozenset(unfit),
        leaving=frozenset(leaving) if may_replace else frozenset(),
    )


def _changeable(wanted: OwnLink, found: OwnLink) -> bool:
    if type(wanted) is not type(found):
        return False
    same = {name: getattr(wanted, name) for name in wanted.in_place}
    return replace(found, **same) == wanted


def _conflicts(
    desired: Objects, foreign: Mapping[Key, KernelObject], taken: frozenset[str]
) -> tuple[Conflict, ...]:
    """Return the foreign objects on keys that we want. Objects on a taken link are blocked, not conflicts."""
    return tuple(
        Conflict(desired[key], found)
        for key, found in foreign.items()
        if key in desired
        and not _satisfied_by_foreign(desired[key], found)
        and desired[key].home not in taken
    )


def _satisfied_by_foreign(wanted: KernelObject, found: KernelObject) -> bool:
    """Report whether a foreign route forwards just as ours would: it is left alone, and serves instead of ours."""
    if not isinstance(wanted, Route) or not isinstance(found, Route):
        return False
    return replace(found, proto=wanted.proto, onlink=wanted.onlink) == wanted


def _puts(
    desired: Objects, observed: Observed, links: _Links, changed: tuple[Key, ...] | None
) -> tuple[list[Put], int]:
    """Return the puts, unordered, and the number of those blocked."""
    owned, foreign, stir = observed.owned, observed.foreign, links.stir
    keys = desired if changed is None else [key for key in changed if key in desired]
    puts: list[Put] = []
    blocked = 0
    for key in keys:
        wanted, found = desired[key], owned.get(key)
        if stir and found is not None and links.loses(found):
            found = None
        if found is wanted or found == wanted:
            continue
        if stir and wanted.needed in links.taken:
            blocked += 1
        elif key not in foreign and not (stir and _stays(wanted, found, links)):
            puts.append(Put(wanted, found))
    return puts, blocked


def _stays(wanted: KernelObject, found: KernelObject | None, links: _Links) -> bool:
    """Report whether this is a link that only a new device can serve, while none may be replaced."""
    return found is not None and isinstance(wanted, OwnLink) and wanted.name in links.unfit


def _deletes(
    desired: Objects, owned: Mapping[Key, KernelObject], links: _Links, changed: tuple[Key, ...] | None
) -> tuple[Delete, ...]:
    keys = owned if changed is None else [key for key in changed if key in owned]
    doomed = [owned[key] for key in keys if key not in desired]
    doomed += [owned["link", name] for name in sorted(links.leaving & links.unfit)]
    deletes = [Delete(obj) for obj in doomed if obj.deletable and obj.home not in links.leaving]
    return tuple(sorted(deletes, key=_phase, reverse=True))
