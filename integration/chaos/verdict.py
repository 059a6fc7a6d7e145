"""Who lost packets and whether they may: pure judgement over what storms struck and what flows lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from integration.chaos.catalogue import KINDS
from integration.chaos.flows import Loss
from integration.chaos.storm import Struck

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

    def exposed_since(self, host: str) -> float | None:
        """From when on packets from and to a host may be lost; None for a host that nothing touches."""
        begins = [
            each.begin for each in self.struck if KINDS[each.blow.kind].breaks and host in each.blow.hosts
        ]
        return min(begins, default=None)

    def excuses(self, loss: Loss) -> bool:
        """Whether a fault on either end explains the loss."""
        return any(
            since is not None and since - SLACK_S <= loss.end and loss.begin <= self.well + SLACK_S
            for since in (self.exposed_since(loss.source), self.exposed_since(loss.target))
        )


def unexcused(losses: Iterable[Loss], windows: Sequence[Window]) -> list[Loss]:
    """What was lost though nothing touched the two hosts."""
    return [loss for loss in losses if not any(window.excuses(loss) for window in windows)]


@dataclass(frozen=True, slots=True)
class KindRow:
    """What a kind of fault did: how often it struck, the longest gap it may have made, and what outlived it."""

    name: str
    family: str
    struck: int
    missed: int
    longest_gap: float
    longest_after: float
    losses: int


def kind_rows(windows: Sequence[Window], losses: Sequence[Loss]) -> list[KindRow]:
    """A row for each kind that was tried, in the catalogue's order. A gap is laid at every fault that it may be of."""
    tried = [each for window in windows for each in window.struck]
    return [
        _row(name, [each for each in tried if each.blow.kind == name], windows, losses)
        for name in KINDS
        if any(each.blow.kind == name for each in tried)
    ]


def _row(name: str, tried: Sequence[Struck], windows: Sequence[Window], losses: Sequence[Loss]) -> KindRow:
    ends = {window.storm: window.well for window in windows}
    struck = [each for each in tried if not each.missed]
    caused = [
        (each, loss) for each in struck for loss in losses if _may_be_of(loss, each, ends[each.blow.storm])
    ]
    return KindRow(
        name=name,
        family=KINDS[name].family.value,
        struck=len(struck),
        missed=len(tried) - len(struck),
        longest_gap=max((loss.gap for _, loss in caused), default=0.0),
        longest_after=max((loss.end - each.end for each, loss in caused if loss.end > each.end), default=0.0),
        losses=sum(loss.lost for _, loss in caused),
    )


def _may_be_of(loss: Loss, struck: Struck, well: float) -> bool:
    """A loss at the struck hosts (at any, for a fault of nobody's host) that begins while the fault lasts or heals.

    For what breaks nothing a loss counts only where nothing else explains it, which is a violation; the caller's list
    of those names it.
    """
    kind = KINDS[struck.blow.kind]
    if not kind.breaks:
        return False
    hosts = struck.blow.hosts
    here = (
        {loss.source, loss.target} & set(hosts)
        if len(hosts) == 1
        else {loss.source, loss.target} == set(hosts)
    )
    return bool(here) and struck.begin - SLACK_S <= loss.end and loss.begin <= min(well, struck.end + 1.0)
