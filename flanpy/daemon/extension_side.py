"""The extension backend's PreStartupCommand: run before anything can be planned, and what it printed given to the loop.

It is the one input of a planner that a process has to make first. A failure is a condition, and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flanpy.backend.extension import allowed
from flanpy.clock import Clock
from flanpy.errors import FlanpyError
from flanpy.host.extension import ExtensionPart
from flanpy.log import get_logger
from flanpy.model.world import Printed, World
from flanpy.reconcile.backoff import Backoff

log = get_logger()


class PreStartup:
    """`printed` is called with what the command printed, `failed` with one line for people, "" when all is well."""

    def __init__(
        self,
        part: ExtensionPart,
        *,
        clock: Clock,
        printed: Callable[[Printed], None],
        failed: Callable[[str], None],
    ) -> None:
        self._part = part
        self._clock = clock
        self._tell = printed
        self._failed = failed
        self._wanted: tuple[str, ...] = ()
        self._news = asyncio.Event()

    def look(self, world: World) -> None:
        """Wake the task if this world needs the output of a command that it does not have."""
        wanted: tuple[str, ...] = ()
        if world.network is not None and world.network.backend_type == "extension":
            commands = allowed(world)
            if commands is not None and (world.printed is None or world.printed.command != commands.pre):
                wanted = commands.pre
        if wanted != self._wanted:
            self._wanted = wanted
            self._news.set()

    async def run(self) -> None:
        """Run the wanted commands, without end."""
        while True:
            await self._news.wait()
            self._news.clear()
            backoff = Backoff()
            while (command := self._wanted) and not await self._ran(command):
                await self._clock.sleep(backoff.next_delay())
            self._failed("")

    async def _ran(self, command: tuple[str, ...]) -> bool:
        try:
            printed = await self._part.print_once(command)
        except FlanpyError as error:
            log.warning("command_failed", error=str(error))
            self._failed(f"PreStartupCommand: {error}")
            return False
        self._tell(printed)
        return True
