"""Faults of the catalogue tried one by one: a storm of one fault each in the lab of chaos, by its judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from integration.drivers.chaos import run as chaos
from integration.drivers.chaos.schedule import Blow
from integration.drivers.chaos.verdict import Window
from integration.drivers.matrix.outcome import Outcome
from integration.faults.fault import Fault
from integration.hosts.daemon import Program
from integration.net.namespaces import LabError
from integration.truth.fabric import FABRICS, VXLAN, Fabric

HOSTS = 3
LONGEST_S = 6.0
"""For how long a fault is held at most: a pause that the daemon makes longer is tried by --long families."""


def run(
    wanted: Sequence[Fault],
    *,
    program: Program | None = None,
    tell: Callable[[str], None] = lambda _line: None,
    keep: Callable[[Outcome], object] = lambda _outcome: None,
) -> None:
    """Try each fault on a network that has it; `keep` is given what became of each. LabError for one that cannot be."""
    if bound := [one for one in wanted if one.dice]:
        raise LabError(f"{bound[0].name} {bound[0].dice}: put it into a lab by `inject {bound[0].name}`")
    for name, some in groupby(sorted(wanted, key=_network_of), key=_network_of):
        left = list(some)
        while left:
            tried = _run(left, FABRICS[name], program, tell)
            for outcome in tried:
                keep(outcome)
            left = left[len(tried) :]


def _network_of(one: Fault) -> str:
    return VXLAN.name if VXLAN.name in one.fabrics else min(one.fabrics)


def _run(
    wanted: Sequence[Fault], fabric: Fabric, program: Program | None, tell: Callable[[str], None]
) -> list[Outcome]:
    """Run the faults and return an outcome for each that was tried; the first that is not survived is the last."""
    blows = [
        Blow(number, 0.2, min(LONGEST_S, sum(one.lasts) / 2), one.name, _hosts(one), seed=number)
        for number, one in enumerate(wanted, 1)
    ]
    found = chaos.run(blows, hosts=HOSTS, fabric=fabric, program=program, say=tell)
    if not found.windows:
        return [Outcome(wanted[0].family.value, wanted[0].name, wrong="; ".join(found.violations))]
    return [
        _outcome(one, window, found, last=window is found.windows[-1])
        for one, window in zip(wanted, found.windows, strict=False)
    ]


def _hosts(one: Fault) -> tuple[str, ...]:
    return tuple(f"h{number}" for number in range(1, one.hosts + 1))


def _outcome(one: Fault, window: Window, found: chaos.Outcome, *, last: bool) -> Outcome:
    losses = [loss for loss in found.flows.losses if window.begin <= loss.end and loss.begin <= window.well]
    missed = "; ".join(each.missed for each in window.struck if each.missed)
    return Outcome(
        one.family.value,
        one.name,
        gap_ms=1000 * max((loss.gap for loss in losses), default=0.0),
        converged_s=window.well - window.calm,
        lost=sum(loss.lost for loss in losses),
        wrong=missed or ("; ".join(found.violations) if last else ""),
    )
