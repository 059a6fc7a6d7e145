"""Has the packet filter looked through after its rules changed: does it let pass what containers and peers send?

Probes go from host to host and do not see what a rule does to what is forwarded. The looking is done by a program of
its own (`flanpy.trace.transit`), so that this process never holds a whole rule set. Changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any, Final, Never

from flanpy.children import DIRECTORY, command_of
from flanpy.clock import Clock
from flanpy.errors import MALFORMED
from flanpy.model.objects import HostSysctl
from flanpy.model.transit import Harm, Obstacle, Transit
from flanpy.netfilter.look import Looker
from flanpy.reconcile.outcome import Pass
from flanpy.status import report
from flanpy.status.board import StatusSnapshot
from flanpy.status.lease_rows import rows

INTERVAL_S: Final = 2.5
"""Between two questions whether any rule changed, which cost a fraction of a millisecond."""

REST_S: Final = 10.0
"""Between two looks while all is well: Docker changes rules with each container that starts."""

DEADLINE_S: Final = 60.0
"""For a look, on a host that is busy."""

_PEERS: Final = 3
_KEPT: Final = ("PATH", "XTABLES_LOCKFILE", "XTABLES_LIBDIR")


class TransitWatch:
    """`last` returns the last pass, `snapshot` what the documents for the program are made of; `note` takes each look
    that differs from the one before.

    `own_writes`: as a `Looker` takes it.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        last: Callable[[], Pass | None],
        snapshot: Callable[[], StatusSnapshot],
        note: Callable[[Transit | None], None],
        own_writes: Callable[[], int] = lambda: 0,
    ) -> None:
        self._clock = clock
        self._last = last
        self._snapshot = snapshot
        self._note = note
        self._looker = Looker(own_writes=own_writes)
        self._said: Transit | None = None

    async def run(self) -> Never:
        """Look after each change of rules that lasted, until cancelled."""
        judged, before, looked_at = None, None, float("-inf")
        try:
            while True:
                now = self._signature()
                ailing = self._said is not None and bool(self._said.obstacles)
                rested = self._clock.monotonic() - looked_at >= REST_S
                if now is None:
                    self._say(None)
                elif now != judged and (now == before or rested) and (ailing or rested):
                    self._say(await look(self._documents()))
                    judged, looked_at = now, self._clock.monotonic()
                before = now
                await self._clock.sleep(INTERVAL_S)
        finally:
            self._looker.close()

    def _signature(self) -> object:
        """Differs if the answer may; None while this host forwards nothing, or knows no peer to forward to."""
        last = self._last()
        desired = last.decision.desired if last is not None else None
        if last is None or desired is None or last.world.own is None or not last.admission.peers:
            return None
        if not any(isinstance(obj, HostSysctl) for obj in desired.values()):
            return None
        return self._looker.signature(), last.world.own.key, last.world.network

    def _documents(self) -> dict[str, Any]:
        last = self._last()
        assert last is not None
        found: list[Any] = []
        others = 0
        for row, _ in rows(last):
            others += bool(row.way)
            if row.own or (row.way and others <= _PEERS):
                found.append(row)
        head = report.DaemonHead("", "", 0, 0.0)
        status = report.status(self._snapshot(), now=self._clock.wall(), head=head)
        return {"status": report.plain(status), "subnets": {"subnets": report.plain(found)}}

    def _say(self, found: Transit | None) -> None:
        if found != self._said:
            self._said = found
            self._note(found)


async def look(documents: dict[str, Any]) -> Transit:
    """Run the program and return its answer; a program that fails leaves the question open."""
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command_of("flanpy.trace.transit"), env=environment, cwd=DIRECTORY,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return Transit(unread=f"cannot start the look at the packet filter: {error.strerror}")
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, wrong = await process.communicate(json.dumps(documents).encode())
        return _read(said, wrong)
    except TimeoutError:
        return Transit(unread=f"the look at the packet filter did not end within {DEADLINE_S:g} s")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _read(said: bytes, wrong: bytes) -> Transit:
    try:
        found = json.loads(said)
        obstacles = tuple(Obstacle(Harm(harm), *rest) for harm, *rest in found["obstacles"])
        return Transit(obstacles, found["unread"])
    except MALFORMED:
        last = wrong.decode(errors="replace").strip().rpartition("\n")[2]
        return Transit(unread=f"the look at the packet filter failed: {last[:200] or 'no word of it'}")
