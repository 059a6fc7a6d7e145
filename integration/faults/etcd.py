"""`python -m integration faults --family etcd`: every etcd fault in one lab, one after the other, and their table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from integration.faults.etcd_cases import CASES, case
from integration.faults.etcd_lab import GuardedLab
from integration.faults.etcd_toll import Toll, document, table, take

__all__ = ["document", "run", "table"]


def run(
    wanted: Sequence[str] = (), *, in_full: bool = False, tell: Callable[[str], object] = lambda _line: None
) -> list[Toll]:
    """Try the faults of these names (default: all). `tell` is given a line as each begins."""
    cases = [case(name) for name in wanted] or list(CASES)
    with GuardedLab() as lab:
        lab.start_residents()
        tolls = []
        for one in cases:
            tell(f"{one.name}: {one.title}")
            tolls.append(take(lab, one, in_full=in_full))
        return tolls
