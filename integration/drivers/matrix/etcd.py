"""The etcd family for `python -m integration faults`: every fault in one lab, one after the other, and their table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from integration.drivers.matrix.outcome import Outcome
from integration.drivers.matrix.toll import Toll, document, table, take
from integration.drivers.matrix.verdict import outcome_of
from integration.faults.catalogue import of_etcd
from integration.faults.fault import Fault
from integration.hosts.guarded import GuardedLab
from integration.net.namespaces import LabError

__all__ = ["document", "run", "table"]


def run(
    wanted: Sequence[Fault] = (),
    *,
    in_full: bool = False,
    tell: Callable[[str], object] = lambda _line: None,
    keep: Callable[[Outcome], object] = lambda _outcome: None,
) -> list[Toll]:
    """Try these faults (default: all that have a time to hold).

    `tell` is given a line as each begins, `keep` what became of it.

    After one that left the lab broken, and has no toll, the rest is tried in a new one. LabError if there is no lab.
    """
    left = list(wanted or of_etcd())
    tolls: list[Toll] = []
    while left:
        with GuardedLab() as lab:
            lab.start_residents()
            while left:
                one = left.pop(0)
                tell(f"{one.name}: {one.title}")
                toll = _toll_or_wrong(lab, one, in_full=in_full)
                outcome = Outcome("etcd", one.name, wrong=toll) if isinstance(toll, str) else outcome_of(toll)
                keep(outcome)
                if not outcome.survived:
                    tell(f"{one.name} was not survived: {outcome.wrong}")
                if isinstance(toll, str):
                    break
                tolls.append(toll)
    return tolls


def _toll_or_wrong(lab: GuardedLab, fault: Fault, *, in_full: bool) -> Toll | str:
    """The toll, or what hindered to take it."""
    try:
        return take(lab, fault, in_full=in_full)
    except (LabError, AssertionError) as error:
        return str(error) or repr(error)
