"""The packet filters as a part of the kernel: read back, written atomically, watched.

Owns the sockets and the programs that are run. Reports its own faults as failed operations and in the facts, so that
the overlay goes on without rules. Must not decide on the desired rules, or retry.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from typing import Final, Protocol

from flanpy.clock import Clock, set_within
from flanpy.errors import KernelCause, KernelError
from flanpy.log import get_logger
from flanpy.model.address import Family
from flanpy.model.objects import KernelObject, Key
from flanpy.model.ops import Delete, Objects, Op, OpFailure, Put, Scope
from flanpy.model.packet_filter import FilterChain, FilterFacts, FilterJump, FilterMember, Flavour
from flanpy.netfilter.look import Look, Looker
from flanpy.netfilter.members import Members
from flanpy.netfilter.nfnetlink import drain, open_events
from flanpy.netfilter.script import is_nft, nft_script, obj_of, restore_script
from flanpy.netfilter.sweep import sweep
from flanpy.netfilter.tools import LOCK_WAIT, Tools, run
from flanpy.plan.encapsulated import ENCAPSULATED, STRANGERS
from flanpy.plan.render import render

log = get_logger()

SETTLE: Final = 0.05
"""Seconds that a burst of changes may go on before it is looked at: a restart of Docker makes hundreds."""

APART: Final = 0.2
"""Seconds between two looks that others' changes cause."""

POLL: Final = 0.5
"""Seconds between two looks at the sizes of iptables-legacy's tables, which send no events."""


class FilterSink(Protocol):
    """The listener for changes. Both calls only replace a value and wake a task."""

    def filter_changed(self, facts: FilterFacts) -> None:
        """Take `facts`, the new input of the rules."""

    def filter_moved(self) -> None:
        """Note that another program changed rules of ours."""


class FilterPart:
    """Implements `kernel.composite.Part` for packet filters.

    `sweeping`: the deletions remove the last of our objects, so no empty table stays behind.
    """

    handles: tuple[type[KernelObject], ...] = (FilterChain, FilterJump, FilterMember)

    def __init__(self, tools: Tools | None = None, *, sweeping: bool = False) -> None:
        self._sweeping = sweeping
        self._tools = tools or Tools()
        self._members = Members(self._tools)
        self._looker = Looker(self._tools, self.own_writes)
        self._seen = Look()
        self._sink: FilterSink | None = None
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._problem = ""
        self._told = FilterFacts()
        self._members_at: Look | None = None
        """The look since which the set of hosts is known."""
        self._compared: Look | None = None
        """The look that the last comparison was with."""
        self._expected: dict[Key, KernelObject] = {}
        """What stands as the loop knows it; not what was seen last, for looks of commands and writes tell nobody."""

    def tell(self, sink: FilterSink) -> None:
        """Report changes to the listener from now on."""
        self._sink = sink

    def close(self) -> None:
        self._looker.close()
        self._members.close()

    def own_writes(self) -> int:
        """Return the number of our writes that changed only the set of hosts, which are no news."""
        return self._members.writes

    async def start(self) -> FilterFacts:
        """Look for the first time."""
        look = await self._look()
        self._told, self._expected = look.facts, self._standing(look)
        return look.facts

    async def read_back(self, scope: Scope) -> Objects:
        """Read all our chains and jumps to them, the set of hosts, and flannel's leftovers, whatever the scope."""
        look = await self._look()
        self._tell_facts(look)
        return self._standing(look)

    def _standing(self, look: Look) -> dict[Key, KernelObject]:
        """Return the objects of a look and the members: while the look holds, those read then, with our own changes."""
        if look is self._members_at:
            members = self._members.known()
        else:
            members, self._members_at = self._members.read(), look
        return {**look.by_key, **{member.key: member for member in members}}

    def _tell_facts(self, look: Look) -> None:
        if look.facts != self._told and self._sink is not None:
            self._told = look.facts
            self._sink.filter_changed(look.facts)

    async def apply(self, ops: Sequence[Op]) -> tuple[OpFailure, ...]:
        """Run one script per flavour (and family, in iptables); an object that then differs from the one put,
        failed."""
        of_members = [op for op in ops if isinstance(op.obj, FilterMember)]
        rules = [op for op in ops if not isinstance(op.obj, FilterMember)]
        failures = self._members.apply(of_members)
        if failures:
            self._members_at = None
        if rules:
            failures += await self._apply_rules(rules)
        self._expect(ops, failures)
        gone = {
            Family.of(op.obj.address)
            for op in ops
            if isinstance(op, Delete) and isinstance(op.obj, FilterMember)
        }
        emptied = [family for family in sorted(gone) if not self._members.holds(family)]
        if emptied:
            await self._drop_empty_tables(emptied)
        return tuple(failures)

    async def _drop_empty_tables(self, families: Sequence[Family]) -> None:
        """Delete empty tables. Chains go before the set does, so the last of our objects in a table may be the set."""
        standing = (await self._look()).objects
        for family in families:
            chains = any(obj.flavour is Flavour.NFT and obj.family is family for obj in standing)
            if not chains:
                with suppress(KernelError):
                    await asyncio.to_thread(self._members.drop_table, family)

    async def _apply_rules(self, ops: Sequence[Op]) -> list[OpFailure]:
        failures: list[OpFailure] = []
        await self._look()

        coming = [op.obj for op in ops if isinstance(op, Put) and isinstance(op.obj, FilterChain)]

        def place(op: Op) -> tuple[str, int, bool]:
            obj = obj_of(op)
            # A kernel that lacks what only these ask for must not go without the others.
            optional = (
                isinstance(op, Put) and isinstance(obj, FilterChain) and obj.name in {ENCAPSULATED, STRANGERS}
            )
            return obj.flavour.value, 0 if is_nft(op) else int(obj.family), optional

        for _, run_ in groupby(sorted(ops, key=place), key=place):
            group = tuple(run_)
            try:
                await asyncio.to_thread(self._write, group, coming)
            except KernelError as error:
                failures += [OpFailure(op, error) for op in group]
        if self._sweeping:
            await asyncio.to_thread(sweep, self._tools, [obj_of(op) for op in ops])
        self._looker.forget()
        standing = (await self._look()).by_key
        if not self._problem:
            failed = {id(failure.op) for failure in failures}
            failures += [
                OpFailure(
                    op, KernelError(f"'{render(op)}' did not stay as it was put", cause=KernelCause.NOT_KEPT)
                )
                for op in ops
                if id(op) not in failed and isinstance(op, Put) and standing.get(op.obj.key) != op.obj
            ]
        return failures

    def _expect(self, ops: Sequence[Op], failures: Sequence[OpFailure]) -> None:
        """Record our own successful changes, which are no news."""
        failed = {id(failure.op) for failure in failures}
        for op in ops:
            if id(op) not in failed:
                if isinstance(op, Put):
                    self._expected[op.obj.key] = op.obj
                else:
                    self._expected.pop(op.obj.key, None)

    def _write(self, ops: Sequence[Op], coming: Sequence[FilterChain]) -> None:
        """Write a script. `coming` are chains that this script or another one puts."""
        obj = obj_of(ops[0])
        argv = self._tools.argv(obj.flavour, obj.family, "restore")
        if obj.flavour is Flavour.NFT:
            standing = [*(one for one in self._seen.objects if isinstance(one, FilterChain)), *coming]
            of_nft = [one for one in standing if one.flavour is Flavour.NFT]
            held = [family for family in Family if self._members.holds(family)]
            run((*argv, "-f", "-"), nft_script(ops, of_nft, held))
        else:
            run((*argv, "-w", str(LOCK_WAIT), "--noflush"), restore_script(ops))

    async def _look(self) -> Look:
        """Return the present look; the last one if the filters cannot be read now, with the reason in its facts."""
        async with self._turn:
            try:
                unchanged = self._looker.unchanged()
                self._seen = (
                    unchanged if unchanged is not None else await asyncio.to_thread(self._looker.look)
                )
                problem = ""
            except KernelError as error:
                problem = str(error)
                facts = replace(self._seen.facts, problem=problem, cause=error.cause)
                self._seen = replace(self._seen, facts=facts)
            if problem and problem != self._problem:
                log.warning("packet_filter_unread", error=problem)
            self._problem = problem
            return self._seen

    # News

    async def watch(self, clock: Clock, period: Callable[[], float]) -> None:
        """Look whenever rules change, and at least every `period()` seconds without events. Runs until cancelled."""
        events = open_events()
        loop = asyncio.get_running_loop()

        def readable() -> None:
            assert events is not None
            if drain(events, own=self._members.port):
                self._changed.set()

        if events is not None:
            loop.add_reader(events.fileno(), readable)
        try:
            await self._watch(clock, period)
        finally:
            if events is not None:
                loop.remove_reader(events.fileno())
                events.close()

    async def _watch(self, clock: Clock, period: Callable[[], float]) -> None:
        whole = clock.monotonic()
        while True:
            polled = self._looker.has_legacy
            await set_within(self._changed, clock, POLL if polled else period())
            news = self._changed.is_set()
            if news:
                await clock.sleep(SETTLE)
            self._changed.clear()
            now = clock.monotonic()
            if polled and now >= whole + period():
                whole = now
                self._looker.forget()
            await self._compare()
            if news:
                await clock.sleep(APART)

    async def _compare(self) -> None:
        now = await self._look()
        self._tell_facts(now)
        if now is self._compared and now is self._members_at:
            return  # only we have changed anything since
        self._compared = now
        standing = self._standing(now)
        if standing != self._expected and self._sink is not None:
            self._expected = standing
            self._sink.filter_moved()
