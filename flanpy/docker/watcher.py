"""Follows what Docker really runs, beside the overlay and never in its way.

Owns the rhythm of the looks. Docker absent, restarting, stuck or forbidden is a normal state: each look ends by its
deadline, and what it found is one value for the status board. Needs nothing of Docker to work; changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flanpy.clock import Clock
from flanpy.docker.api import look
from flanpy.docker.dockerd import running_flags
from flanpy.docker.effective import waits_for_forwarding
from flanpy.docker.facts import DockerFacts
from flanpy.docker.local import look_of, told_settings
from flanpy.docker.verdict import DockerStandard, Mode, judge, needs_accepts
from flanpy.docker.wanted import Wanted
from flanpy.model.condition import Condition

INTERVAL_S: Final = 5.0
"""Between two looks; one costs Docker three small requests."""

LIVELY_S, LIVELY_INTERVAL_S = 10.0, 1.0
"""For so long after a change another is likely, and looked for more often: Docker is being restarted, or wired."""


@dataclass(frozen=True, slots=True)
class DockerReport:
    """The last look, for status and metrics. `found` is None while nothing is known of Docker.

    `needs_accepts`: this Docker drops overlay packets but for what our packet filter accepts before.
    `waits_for_forwarding`: whether it runs or not, by its settings it makes no bridge before the host forwards.
    """

    condition: Condition
    found: DockerFacts | None = None
    over_mtu: int = 0
    needs_accepts: bool = False
    waits_for_forwarding: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerWatcher:
    """`wanted` says what the overlay asks of Docker now; `note` gets every report that differs from the one before."""

    socket: Path
    config_file: Path
    mode: Mode
    accepts: bool
    wanted: Callable[[], Wanted | None]
    note: Callable[[DockerReport], None]
    clock: Clock

    async def run(self) -> None:
        """Look until cancelled; with mode off only say so."""
        if self.mode is Mode.OFF:
            self.note(DockerReport(judge(None, self._asked())))
            await asyncio.Event().wait()
        last: DockerReport | None = None
        changed_at = self.clock.monotonic()
        while True:
            report = await self.report()
            if report != last:
                self.note(report)
                last, changed_at = report, self.clock.monotonic()
            lively = self.clock.monotonic() - changed_at < LIVELY_S
            await self.clock.sleep(LIVELY_INTERVAL_S if lively else INTERVAL_S)

    async def report(self) -> DockerReport:
        """One look, judged."""
        asked = self._asked()
        told = await asyncio.to_thread(told_settings, self.config_file)
        found = await look(self.socket, told)
        # Reading all links of the host may take a while on one with many containers.
        whole = await asyncio.to_thread(look_of, found, told, asked.wanted, self.mode)
        facts = found if isinstance(found, DockerFacts) else None
        return DockerReport(
            judge(whole, asked),
            facts,
            over_mtu=len(whole.over_mtu),
            needs_accepts=needs_accepts(whole, asked),
            waits_for_forwarding=waits_for_forwarding(told, running_flags(told)),
        )

    def _asked(self) -> DockerStandard:
        return DockerStandard(mode=self.mode, wanted=self.wanted(), accepts=self.accepts)
