"""A packet's way through the rules at one hook. Pure.

A rule that takes only some packets never ends the walk; one that would drop or rewrite is reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flanpy.trace.filter import Chain, Effect, Hook, Met, Packet, Passage, TracedRule, TracedTable
from flanpy.trace.matching import Truth, matches

_DEEPEST: Final = 32
"""Chains cannot jump deeper in the kernel (NFT_JUMP_STACK_SIZE is 16); what is read may be nonsense."""


def passage(tables: Iterable[TracedTable], hook: Hook, packet: Packet) -> Passage:
    """Every base chain at the hook, by priority. The first that settles a connection's source settles it for all."""
    bases = [
        (chain.priority, number, table, chain)
        for number, table in enumerate(tables)
        if table.family in {None, packet.family}
        for chain in table.chains.values()
        if chain.hook is hook
    ]
    so_far = Passage(mark=packet.mark)
    kept = False
    for _, _, table, chain in sorted(bases, key=lambda base: base[:2]):
        if chain.is_nat and (kept or so_far.rewritten):
            continue
        walk = _Walk(table, replace(packet, mark=so_far.mark))
        end = walk.through(chain)
        so_far = replace(so_far, mark=walk.packet.mark, perhaps=(*so_far.perhaps, *walk.perhaps))
        match end.effect if end else None:
            case Effect.DROP:
                return replace(so_far, dropped=end, spared=tuple(walk.spared))
            case Effect.KEEP_SOURCE:
                kept = True
            case Effect.REWRITE_SOURCE | Effect.REWRITE_DESTINATION:
                so_far = replace(so_far, rewritten=end)
            case Effect.ACCEPT if end:
                so_far = replace(so_far, accepted=(*so_far.accepted, end))
    return so_far


_CALLS: Final = frozenset({Effect.JUMP, Effect.GOTO})
_ENDS: Final = frozenset(
    {Effect.ACCEPT, Effect.DROP, Effect.REWRITE_SOURCE, Effect.KEEP_SOURCE, Effect.REWRITE_DESTINATION}
)
_TELL_PERHAPS: Final = frozenset({Effect.DROP, Effect.REWRITE_SOURCE, Effect.REWRITE_DESTINATION})


class _Walk:
    """The walk through one table. `packet` gains marks on the way."""

    def __init__(self, table: TracedTable, packet: Packet) -> None:
        self.packet = packet
        self.perhaps: list[Met] = []
        self.spared: list[Met] = []
        self._table = table

    def through(self, base: Chain) -> Met | None:
        """Return the verdict that ended the walk of a base chain; None for the end of a chain that accepts."""
        end = self._chain(base, Truth.YES, 0)
        if end is None and base.drops:
            return replace(self._met(base, Effect.DROP, "policy drop"), is_policy=True)
        return end

    def _chain(self, chain: Chain, surely: Truth, depth: int) -> Met | None:
        """Return the verdict that ended the walk; None if it goes on in the chain that this one was called from."""
        for rule in chain.rules if depth < _DEEPEST else ():
            truth = min(surely, matches(rule.tests, self.packet), key=lambda one: one.value)
            if truth is Truth.NO:
                continue
            if rule.effect in _CALLS:
                end = self._below(rule, truth, depth)
                if end is not None or (rule.effect is Effect.GOTO and truth is Truth.YES):
                    return end
            elif truth is Truth.SOME:
                self._note(chain, rule)
            elif rule.effect in _ENDS:
                return self._met(chain, rule.effect, rule.text, rule.packets)
            elif rule.effect is Effect.RETURN:
                return None
            elif rule.effect is Effect.MARK:
                self.packet = replace(self.packet, mark=_marked(self.packet.mark, rule.target))
        return None

    def _note(self, chain: Chain, rule: TracedRule) -> None:
        if rule.effect in _TELL_PERHAPS:
            self.perhaps.append(self._met(chain, rule.effect, rule.text, rule.packets))
        elif rule.effect is Effect.ACCEPT:
            self.spared.append(self._met(chain, rule.effect, rule.text, rule.packets))

    def _below(self, rule: TracedRule, truth: Truth, depth: int) -> Met | None:
        target = self._table.chains.get(rule.target)
        return self._chain(target, truth, depth + 1) if target else None

    def _met(self, chain: Chain, effect: Effect, text: str, packets: int | None = None) -> Met:
        return Met(effect, self._table.tool, self._table.name, chain.name, text, packets)


def _marked(mark: int, target: str) -> int:
    value, mask = map(int, target.split("/"))
    return (mark & ~mask) ^ value
