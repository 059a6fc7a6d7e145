"""Follows Docker's containers for their names: a listing, then another one at each event. Root's, for `flanpyctl`.

Owns the rhythm. Listens before it looks, so that nothing falls in between; of a look that finds a container as it was
only the listing is asked for. Docker absent or restarting is a normal state: what was found stays told until the next
look, and Docker is never started. Changes nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flanpy.clock import Clock, set_within
from flanpy.docker import dockerd
from flanpy.docker.api import DockerElsewhere, events, get
from flanpy.docker.local import told_settings
from flanpy.docker.names import EVENTS, Names, Stamp, by_network, container_names, stamp
from flanpy.errors import MALFORMED, DockerUnreachable
from flanpy.model.networks.names import NamedContainer

DEADLINE_S: Final = 10.0
"""Seconds for one look. One of 100 new containers takes a second."""

RESCAN_S: Final = 30.0
"""Seconds after which a look is taken without an event."""

AGAIN_S: Final = (0.25, 1.0)
"""Seconds after which a look follows the one at an event: Docker tells of a connect before its listing shows it."""

PACE_S: Final = 0.05
"""Seconds between two looks at most: as long as the look took, so that a storm of events, such as a start of Compose,
keeps Docker busy half of the time, and the event of a container that starts waits as little as may be."""

RETRY_S: Final = 1.0

_MOST_ASKED: Final = 4096
"""Containers that are looked at, those of the listing's beginning."""


@dataclass(slots=True)
class NamesFollower:
    """`publish` gets the names of all running containers whenever they differ from the ones before."""

    socket: Path
    config_file: Path
    publish: Callable[[Names], None]
    clock: Clock
    _known: dict[Stamp, dict[str, NamedContainer]] = field(default_factory=dict)

    async def run(self, silent: Callable[[str], None]) -> None:
        """Follow until cancelled; `silent` hears why Docker cannot be asked, "" when it can again."""
        last: Names | None = None
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    told = asyncio.Event()
                    group.create_task(events(self.socket_of_running(), EVENTS, told))
                    looks = 0
                    while True:
                        pause = AGAIN_S[looks] if looks < len(AGAIN_S) else RESCAN_S
                        looks = 0 if await set_within(told, self.clock, pause) else looks + 1
                        told.clear()
                        began = self.clock.monotonic()
                        found = await self.look()
                        took = self.clock.monotonic() - began
                        silent("")
                        if found != last:
                            self.publish(found)
                            last = found
                        await self.clock.sleep(min(took, PACE_S))
            except* (
                DockerUnreachable,
                DockerElsewhere,
                OSError,
                EOFError,
                TimeoutError,
                *MALFORMED,
            ) as group_error:
                silent(str(group_error.exceptions[0]) or "Docker ended the connection")
            await self.clock.sleep(RETRY_S)

    def socket_of_running(self) -> Path:
        """Return the socket; raises DockerUnreachable where a connection might start Docker."""
        running = dockerd.pid_by_file(told_settings(self.config_file)) is not None
        if dockerd.is_systemds(self.socket) and not running:
            raise DockerUnreachable("Docker does not run")
        return self.socket

    async def look(self) -> Names:
        """Return the names now. Raises OSError, EOFError, TimeoutError and ValueError if Docker does not tell."""
        async with asyncio.timeout(DEADLINE_S):
            listed = await get(self.socket, "/containers/json")
            if not isinstance(listed, list):
                raise TypeError("what listens there does not answer as Docker does")
            known: dict[Stamp, dict[str, NamedContainer]] = {}
            for one in listed[:_MOST_ASKED]:
                mark = stamp(one)
                found = self._known.get(mark)
                known[mark] = await self._inspected(one) if found is None else found
        self._known = known
        return by_network(known.values())

    async def _inspected(self, listed: dict[str, Any]) -> dict[str, NamedContainer]:
        document = await get(self.socket, f"/containers/{listed['Id']}/json")
        if document is None:  # gone meanwhile
            return {}
        with suppress(*MALFORMED):  # one odd container takes no other's names
            return container_names(document)
        return {}
