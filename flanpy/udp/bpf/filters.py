"""Our filters among others' on the links of this host: found by name, put, and taken away with what they needed.

Only filters of our names are ever changed. A clsact qdisc is added where there is none, and deleted with our last
filter if nobody else's is left on it. Must not: know what the programs do.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from flanpy.errors import KernelError
from flanpy.udp.bpf.netlink import EGRESS, INGRESS, Filter, Link, TrafficControl

PRIORITY = 8285
"""Where others leave room: what stands before us (a lower one) sees packets first. A taken one is passed over."""

NAMES = {EGRESS: "flanpy_egress", INGRESS: "flanpy_ingress"}
"""By parent. Part of the state that outlives an upgrade: a filter under another name would be left behind."""

_HANDLE = 1


@dataclass(frozen=True, slots=True)
class FilterPlace:
    """One direction of a link: `parent` is EGRESS or INGRESS."""

    link: Link
    parent: int


class Filters:
    """Every call raises KernelError when the kernel refuses."""

    def __init__(self, control: TrafficControl) -> None:
        self._control = control

    def put(self, place: FilterPlace, program: int) -> Filter:
        """Attach a loaded program, by descriptor; ours that stands there is replaced in one step."""
        self._ready(place)
        there = self._control.filters(place.link.index, place.parent)
        ours = [one for one in there if _is_ours(one) and not one.chain]
        priority = ours[0].priority if ours else _free_priority(there)
        handle = ours[0].handle if ours else _HANDLE
        wanted = Filter(
            place.link.index, place.parent, priority, handle, kind="bpf", name=NAMES[place.parent]
        )
        self._control.put(wanted, program)
        return wanted

    def _ready(self, place: FilterPlace) -> None:
        self._control.add_clsact(place.link)
        kinds = [qdisc for qdisc in self._control.qdiscs() if qdisc.link == place.link.index]
        if any(qdisc.shared for qdisc in kinds):
            raise KernelError(
                f"the filters of {place.link.name} are shared with other links (tc block), so none can be added",
                errno=errno.EOPNOTSUPP,
            )
        if place.parent == EGRESS and any(qdisc.kind != "clsact" for qdisc in kinds):
            raise KernelError(
                f"{place.link.name} has an ingress qdisc, which takes no egress filters: delete it (tc qdisc del)",
                errno=errno.EEXIST,
            )

    def stands(self, place: FilterPlace, program_id: int) -> bool:
        """Report whether exactly this program is attached there under our name."""
        there = self._control.filters(place.link.index, place.parent)
        return any(_is_ours(one) and one.program == program_id for one in there)

    def ours(self) -> Iterator[Filter]:
        """Return all filters of ours on all links, from any process."""
        for qdisc in self._control.qdiscs():
            if not qdisc.shared:
                yield from self._ours_on(qdisc.link)

    def _ours_on(self, link: int) -> Iterator[Filter]:
        """An `ingress` qdisc has one list of filters and gives it for both parents."""
        yield from {
            one: None for parent in NAMES for one in self._control.filters(link, parent) if _is_ours(one)
        }

    def remove(self, *, but: frozenset[tuple[int, int]] = frozenset()) -> None:
        """Delete all filters of ours, except in places `but` (link index and parent), where one of them stays."""
        kept = set()
        for one in list(self.ours()):
            place = (one.link, one.parent)
            if place in but and place not in kept:
                kept.add(place)
                continue
            self._control.delete(one)
            self._leave(one.link)

    def _leave(self, link: int) -> None:
        """Take the clsact qdisc away if nothing is left on it."""
        ours = any(qdisc.kind == "clsact" for qdisc in self._control.qdiscs() if qdisc.link == link)
        if ours and not any(self._control.filters(link, parent) for parent in NAMES):
            try:
                self._control.delete_clsact(link)
            except KernelError as error:
                if error.errno not in {errno.ENOENT, errno.ENODEV, errno.EINVAL}:  # gone, or the link has
                    raise


def _is_ours(one: Filter) -> bool:
    return one.kind == "bpf" and one.name == NAMES.get(one.parent)


def _free_priority(there: list[Filter]) -> int:
    taken = {one.priority for one in there}
    return next(priority for priority in range(PRIORITY, 1 << 16) if priority not in taken)
