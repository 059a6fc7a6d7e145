"""The etcd family for `python -m integration faults`: every fault in one lab, one after the other, and their table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from integration.faults.etcd_cases import CASES, case, names
from integration.faults.etcd_lab import GuardedLab
from integration.faults.etcd_toll import Toll, document, table, take
from integration.lab import LabError

__all__ = ["NAMES", "document", "run", "table"]

NAMES = names()


def run(
    wanted: Sequence[str] = (), *, in_full: bool = False, tell: Callable[[str], object] = lambda _line: None
) -> list[Toll]:
    """Try the faults of these names (default: all). `tell` is given a line as each begins.

    After one that left the lab broken the rest is tried in a new one, and that one is named in the LabError at the end.
    """
    if unknown := set(wanted) - set(NAMES):
        raise LabError(f"no such fault: {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    left = [case(name) for name in wanted] or list(CASES)
    tolls: list[Toll] = []
    broken: list[str] = []
    while left:
        with GuardedLab() as lab:
            lab.start_residents()
            try:
                while left:
                    one = left.pop(0)
                    tell(f"{one.name}: {one.title}")
                    tolls.append(take(lab, one, in_full=in_full))
            except LabError as error:
                broken.append(f"{one.name}: {error}")
                tell(f"{one.name} was not survived: {error}")
    if broken:
        raise LabError(f"not survived: {'; '.join(broken)}; the others:\n{table(tolls)}")
    return tolls
