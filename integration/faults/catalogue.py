"""Every fault there is, once, by name. Drivers choose from it; a new fault is one more value in one of these tuples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from integration.faults import daemons, filters, guarded, members, objects, operators, records, wires
from integration.faults.fault import Evidence, Family, Fault, Stage, struck
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.truth.fabric import VXLAN, Fabric

_ALL: Final = (
    # The order is the dice's: what came later stands behind, so that a family's first faults keep their places.
    *members.FAULTS, *records.FAULTS, *objects.FIRST, *filters.FIRST, *wires.FAULTS, *daemons.FAULTS,
    *operators.FAULTS, *members.MORE, *records.MORE, *objects.MORE, *filters.MORE, *guarded.FAULTS,
)  # fmt: skip

FAULTS: Final[dict[str, Fault]] = {fault.name: fault for fault in _ALL}

OTHER_NAMES: Final = {
    "frozen": "all_frozen",
    "quorum_lost": "quorum_killed",
    "member_partitioned": "member_cut",
    "compacted": "watch_compacted",
    "wiped": "all_lost",
}
"""What a fault was called before, or is called elsewhere."""

PROBLEMS: Final = tuple(sorted((fault for fault in _ALL if fault.problem), key=lambda fault: fault.problem))
"""The known problems P01 to P32 that can be put into a lab."""

NOT_INJECTED: Final = {
    "P09": "a lost race for a port cannot be forced; rule texts are looked at in tests of the packet filter",
    "P15": "what is held back while etcd is away is told behind P24, its cause: the tests of two problems have both",
    "P17": "a restart leaves nothing that could be looked at afterwards",
    "P22": "flanpyd switches IPv6 on again; an MTU that leaves it no room is in tests/lab/test_host_kinds.py",
    "P25": "a lost lease is taken again at once; what stays wrong is P24 or P26",
    "P27": "a changed address is taken over at once, and without an address that is P21",
}


def fault(name: str) -> Fault:
    """Return the fault of a name or of a known problem (P06), in any case; LabError naming those there are."""
    for one in PROBLEMS:
        if one.problem == name.upper():
            return one
    plain = name.lower().replace("-", "_")
    if found := FAULTS.get(OTHER_NAMES.get(plain, plain)):
        return found
    known = f"there are {' '.join(one.problem for one in PROBLEMS)} and {', '.join(FAULTS)}"
    raise LabError(f"no fault {name!r}: {NOT_INJECTED.get(name.upper(), known)}")


def inject(name: str, lab: Stage, *, host: Host | None = None) -> AbstractContextManager[Evidence]:
    """Put the fault of that name in place; leaving the block takes it away, however the block was left."""
    return struck(fault(name), lab, host=host)


def of_families(families: Iterable[Family], fabric: Fabric = VXLAN) -> Sequence[Fault]:
    """Return the faults of some families that random runs may strike on a network, in the catalogue's order."""
    wanted = frozenset(families)
    return [
        one for one in FAULTS.values() if one.family in wanted and fabric.name in one.fabrics and not one.dice
    ]


def of_etcd() -> Sequence[Fault]:
    """Return the faults of etcd whose cost the family's table tells."""
    return [one for one in FAULTS.values() if one.hold is not None]
