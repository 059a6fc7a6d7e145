"""The lease view as a pure fold of the news from the watch of the subnets into a `LeaseView`.

Owns the meaning of a listing, a delta and a lost watch for the view. Does no I/O and decides nothing. An unchanged
lease stays the same object, and an unchanged view keeps the same mapping: planners compare by identity.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar, assert_never

from flanpy.model.lease import InvalidLease, Lease, LeaseView
from flanpy.store.port import Deletion, Delta, KeyValue, News, Progress, Snapshot, Stale
from flanpy.store.schema import decode_lease

REWRITTEN = frozenset({"history_replaced", "cluster_changed"})
"""Reasons of a listing (see `watch`) by which what was known is not this etcd's past."""

MOST_DELETIONS = 4096
"""Names of deleted keys that a view remembers. The brake takes a forgotten one for unexplained, and waits."""

_V = TypeVar("_V")


def fold(view: LeaseView, news: News, prefix: str) -> LeaseView:
    """Return the view after `news` of the keys below `prefix` (of `schema.subnets_prefix`).

    A key missing from a listing is gone, but counts as a deletion only if the watch reported one: the brake on mass
    deletion needs the difference.
    """
    match news:
        case Snapshot(items, revision):
            return _listed(view, items, revision, prefix, rewound=_is_rewound(view, news))
        case Delta():
            return _changed(view, news, prefix)
        case Progress(revision):
            # The one after `Stale` ends it; before the first listing there is nothing to be in step with.
            return replace(view, revision=max(revision, view.revision), stale=view.stale and not view.in_sync)
        case Stale():
            return replace(view, stale=True)
        case _:
            assert_never(news)


def _is_rewound(view: LeaseView, news: Snapshot) -> bool:
    return view.in_sync and (news.reason in REWRITTEN or news.revision < view.revision)


def _listed(
    view: LeaseView, items: Iterable[KeyValue], revision: int, prefix: str, *, rewound: bool
) -> LeaseView:
    leases, invalid = _decoded(view, items, prefix)
    names = leases.keys() | invalid.keys()
    # What the listing before had too was judged since. Revisions of another history mean nothing.
    recent = {} if rewound else {key: at for key, at in view.deletions.items() if at > view.listed}
    deletions = _without(recent, names)
    return LeaseView(
        leases=_same_or(view.leases, leases),
        invalid=_in_order(view.invalid, invalid),
        deletions=_same_or(view.deletions, deletions),
        revision=revision,
        listings=view.listings + 1,
        stale=False,
        rewound=view.listings + 1 if rewound else view.rewound,
        listed=revision,
    )


def _changed(view: LeaseView, delta: Delta, prefix: str) -> LeaseView:
    put, bad = _decoded(view, delta.puts, prefix)
    deleted = _deleted(delta.deletes, prefix)
    gone = deleted.keys() | bad.keys()
    names = put.keys() | bad.keys()
    leases = (
        {**view.leases, **put} if gone.isdisjoint(view.leases) else _without({**view.leases, **put}, gone)
    )
    kept = {lease.key: lease for lease in view.invalid if lease.key not in deleted and lease.key not in put}
    deletions = _remembered(_without(view.deletions, names), deleted)
    return LeaseView(
        leases=_same_or(view.leases, leases),
        invalid=_in_order(view.invalid, kept | bad),
        deletions=_same_or(view.deletions, deletions),
        revision=delta.revision,
        listings=view.listings,
        stale=False,
        rewound=view.rewound,
        listed=view.listed,
    )


def _remembered(before: Mapping[str, int], deleted: Mapping[str, int]) -> dict[str, int]:
    """All that were deleted now, and what there is room for of those before: half, so that it is not sought each time.

    Revisions are forgotten whole, for the brake asks how many keys one of them deleted.
    """
    if len(before) + len(deleted) <= MOST_DELETIONS:
        return {**before, **deleted}
    room = MOST_DELETIONS // 2 - len(deleted)
    oldest: float = min(deleted.values(), default=math.inf)
    for revision, keys in sorted(Counter(before.values()).items(), reverse=True):
        room -= keys
        if room < 0:
            break
        oldest = min(oldest, revision)
    return {**{key: at for key, at in before.items() if at >= oldest}, **deleted}


def _decoded(
    view: LeaseView, items: Iterable[KeyValue], prefix: str
) -> tuple[dict[str, Lease], dict[str, InvalidLease]]:
    leases: dict[str, Lease] = {}
    invalid: dict[str, InvalidLease] = {}
    for kv in items:
        text = kv.key.removeprefix(prefix)
        known = view.leases.get(text)
        if known is not None and _is_known(known, kv):
            leases[text] = known
            continue
        lease = decode_lease(kv, prefix)
        if isinstance(lease, InvalidLease):
            invalid[text] = lease
        else:
            leases[text] = known if known is not None and known == lease else lease
    return leases, invalid


def _is_known(lease: Lease, kv: KeyValue) -> bool:
    """Report whether the key is unchanged. Revisions restart in an etcd that lost its data; random lease ids do not."""
    return (
        lease.mod_revision == kv.mod_revision
        and lease.create_revision == kv.create_revision
        and lease.lease_id == kv.lease_id != 0
    )


def _deleted(deletes: Iterable[Deletion], prefix: str) -> dict[str, int]:
    return {deletion.key.removeprefix(prefix): deletion.mod_revision for deletion in deletes}


def _without(mapping: Mapping[str, _V], names: Iterable[str]) -> dict[str, _V]:
    rest = dict(mapping)
    for name in names:
        rest.pop(name, None)
    return rest


def _same_or(old: Mapping[str, _V], new: dict[str, _V]) -> Mapping[str, _V]:
    """Return `old` itself if `new` is equal; with values that are the same objects this compares no contents."""
    return old if new == old else MappingProxyType(new)


def _in_order(old: tuple[InvalidLease, ...], new: Mapping[str, InvalidLease]) -> tuple[InvalidLease, ...]:
    ordered = tuple(sorted(new.values(), key=lambda lease: lease.key))
    return old if ordered == old else ordered
