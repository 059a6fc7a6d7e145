"""The members of the cluster that this store serves: whose certificate counts.

Owns the set of members in force, which follows the store's own keys: a member that is struck off is refused from its
next call on, and its watches end. Follows the record of the store's place too, which says whether this store was left.
Must not know gRPC nor how hosts join.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from flanpy.cluster.place import KEY, Place, place_of
from flanpy.cluster.records import MEMBERS, OPERATOR
from flanpy.store import etcdpb as pb
from flanpy.storeserver.store import Store
from flanpy.storeserver.watchers import Watcher

_END: Final = MEMBERS[:-1] + chr(ord(MEMBERS[-1]) + 1)
SPAN: Final = (MEMBERS.encode(), _END.encode())


class Members:
    """The ids of all members, kept by a watch of the store's own."""

    def __init__(self, store: Store) -> None:
        self._store = store
        start, end = SPAN
        listed = store.range(pb.RangeRequest(key=start, range_end=end, keys_only=True))
        self._ids = {_id(kv.key) for kv in listed.kvs}
        self._lost: dict[str, set[Callable[[], None]]] = {}
        self._watcher = Watcher(0, SPAN, store.watchers.revision + 1, self._follow)
        store.watchers.add(self._watcher)
        self._place = self._read_place()
        self._place_watcher = Watcher(
            1, (KEY.encode(), b""), store.watchers.revision + 1, self._look_at_place
        )
        store.watchers.add(self._place_watcher)

    @property
    def moved(self) -> bool:
        """Tell whether the cluster's store is elsewhere by now."""
        state, place = self._store.state, self._place
        if place is None or not place.embedded:
            return place is not None
        return (place.cluster_id, place.member) != (state.cluster_id, state.member_id)

    def _read_place(self) -> Place | None:
        found = self._store.range(pb.RangeRequest(key=KEY.encode())).kvs
        return place_of(found[0].value) if found else None

    def _look_at_place(self) -> None:
        self._store.take(self._place_watcher)
        self._place = self._read_place()

    def __contains__(self, name: object) -> bool:
        return name == OPERATOR or name in self._ids

    @contextmanager
    def holding(self, name: str, lost: Callable[[], None]) -> Iterator[None]:
        """Call `lost` if this member is struck off meanwhile."""
        calls = self._lost.setdefault(name, set())
        calls.add(lost)
        try:
            yield
        finally:
            calls.discard(lost)
            if not calls:
                self._lost.pop(name, None)

    def _follow(self) -> None:
        for event in self._store.take(self._watcher):
            name = _id(event.kv.key)
            if event.type == pb.Event.PUT:
                self._ids.add(name)
                continue
            self._ids.discard(name)
            for call in tuple(self._lost.get(name, ())):
                call()


def _id(key: bytes) -> str:
    return key.decode(errors="replace").removeprefix(MEMBERS)
