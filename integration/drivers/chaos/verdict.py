"""Judgement of lost packets: the flows that lost some, and the faults that excuse the loss. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from integration.drivers.chaos.storm import Struck
from integration.faults.catalogue import FAULTS
from integration.traffic.mesh import Loss

SLACK_S = 0.25
"""A packet under way when a fault struck is lost by it, though sent before."""


@dataclass(frozen=True, slots=True)
class Window:
    """A storm and its calm (monotonic seconds): from the first blow until all was well."""

    storm: int
    begin: float
    calm: float
    well: float
    struck: tuple[Struck, ...]
    last_wrong: str = ""

    def exposed_since(self, host: str) -> float | None:
        """From when on packets from and to a host may be lost; None for a host that nothing touches."""
        begins = [
            each.begin for each in self.struck if FAULTS[each.blow.kind].breaks and host in each.blow.hosts
        ]
        return min(begins, default=None)

    def excuses(self, loss: Loss) -> bool:
        """Report whether a fault on either end explains the loss."""
        return any(
            since is not None and since - SLACK_S <= loss.end and loss.begin <= self.well + SLACK_S
            for since in (self.exposed_since(loss.source), self.exposed_since(loss.target))
        )


def unexcused(losses: Iterable[Loss], windows: Sequence[Window]) -> list[Loss]:
    """Return the losses between two hosts that no fault touched."""
    return [loss for loss in losses if not any(window.excuses(loss) for window in windows)]


@dataclass(frozen=True, slots=True)
class KindRow:
    """The effect of a kind of fault: how often it struck; the longest gap that this kind alone can explain, in
    all and beyond the fault's own time; and the longest gap that it shares with other kinds (seconds)."""

    name: str
    family: str
    struck: int
    missed: int
    alone_gap: float
    alone_after: float
    shared_gap: float


def kind_rows(windows: Sequence[Window], losses: Sequence[Loss]) -> list[KindRow]:
    """A row for each kind that was tried, in the catalogue's order."""
    tried = [each for window in windows for each in window.struck]
    wells = {window.storm: window.well for window in windows}
    causes = [
        (loss, [each for each in tried if _may_be_of(loss, each, wells[each.blow.storm])]) for loss in losses
    ]
    return [
        _row(name, [each for each in tried if each.blow.kind == name], causes)
        for name in FAULTS
        if any(each.blow.kind == name for each in tried)
    ]


def _row(name: str, tried: Sequence[Struck], causes: Sequence[tuple[Loss, list[Struck]]]) -> KindRow:
    alone = [(loss, to_blame[0]) for loss, to_blame in causes if len(to_blame) == 1 and to_blame[0] in tried]
    shared = [loss.gap for loss, to_blame in causes if any(each in tried for each in to_blame)]
    return KindRow(
        name=name,
        family=FAULTS[name].family.value,
        struck=sum(not each.missed for each in tried),
        missed=sum(bool(each.missed) for each in tried),
        alone_gap=max((loss.gap for loss, _ in alone), default=0.0),
        alone_after=max((max(0.0, loss.end - each.end) for loss, each in alone), default=0.0),
        shared_gap=max(shared, default=0.0),
    )


def _may_be_of(loss: Loss, struck: Struck, well: float) -> bool:
    """Report whether a fault may have made a loss: it strikes an end of the flow (both, if it is between two
    hosts), had begun when the loss ended, and was not healed when the loss began."""
    kind, hosts = FAULTS[struck.blow.kind], set(struck.blow.hosts)
    if not kind.breaks or struck.missed:
        return False
    here = hosts & {loss.source, loss.target}
    return len(here) == len(hosts) and struck.begin - SLACK_S <= loss.end and loss.begin <= well
