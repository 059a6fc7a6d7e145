"""Runs the keeper of one provider's routes while a network asks for one, or while routes of ours are left there.

`flanpy.cloud`, and with it the provider's SDK, is loaded only then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from flanpy.backend.cloud import wanted
from flanpy.clock import Clock
from flanpy.config.settings import CloudOptions
from flanpy.errors import ConfigError
from flanpy.log import get_logger
from flanpy.model.cloud import CloudFault, CloudHere, CloudStatus, CloudTrouble, CloudWanted
from flanpy.model.world import World
from flanpy.store.cloud_routes import EtcdRegistry

if TYPE_CHECKING:
    from flanpy.cloud.keeper import CloudKeeper

log = get_logger()

RETRY_S = 30.0
"""Seconds until a missing SDK is looked for again."""


class Out(Protocol):
    """The receiver of what a side has to say."""

    def published(self, backend: str, status: CloudStatus | None, here: CloudHere | None) -> None:
        """Take a status, and what planners may know; None and None once nothing is asked of this provider."""

    def remember(self, backend: str, made: CloudHere | None) -> None:
        """Take the routes that we have there now, for the disk."""


class ProviderSide:
    """`made` are the routes that the daemon left there when it ended last."""

    def __init__(
        self,
        backend: str,
        options: CloudOptions,
        registry: EtcdRegistry,
        *,
        clock: Clock,
        out: Out,
        made: CloudHere | None,
    ) -> None:
        self._backend = backend
        self._options = options
        self._registry = registry
        self._clock = clock
        self._out = out
        self._made = made
        self._target = made.target if made is not None else ""
        self._keeper: CloudKeeper | None = None
        self._world: World | None = None
        self._news = asyncio.Event()

    def look(self, world: World) -> None:
        """Take the world of a pass in which something of concern may have changed."""
        self._world = world
        self._news.set()

    def doubt(self) -> None:
        """Have the keeper look soon, if it runs."""
        if self._keeper is not None:
            self._keeper.doubt()

    async def run(self) -> None:
        """Run without end: a keeper for as long as one is wanted."""
        while True:
            await self._news.wait()
            self._news.clear()
            if self._asked() is not None:
                await self._keep()

    def _asked(self) -> CloudWanted | None:
        return wanted(self._world, self._backend, self._made) if self._world is not None else None

    async def _keep(self) -> None:
        """Run the keeper until nothing is asked of the provider any more."""
        try:
            keeper = self._keeper = self._new_keeper()
        except ConfigError as error:
            log.error("cloud_backend_unusable", error=str(error))
            trouble = CloudTrouble(CloudFault.SDK, "import", str(error))
            self._out.published(self._backend, CloudStatus(self._backend, trouble=trouble), None)
            await self._clock.sleep(RETRY_S)
            self._news.set()
            return
        task = asyncio.create_task(keeper.run(), name=f"cloud_keeper_{self._backend}")
        task.add_done_callback(lambda _done: self._news.set())
        try:
            while not task.done() and self._hand_over(keeper):
                await self._news.wait()
                self._news.clear()
            if task.done():
                task.result()  # it runs forever: this raises what it ended by
        finally:
            task.cancel()
            self._keeper = None
        self._news.set()
        self._out.published(self._backend, None, None)

    def _hand_over(self, keeper: CloudKeeper) -> bool:
        """Tell the keeper what is wanted; False once that is nothing of this provider."""
        from flanpy.cloud.keeper import WantedRoute  # noqa: PLC0415, for clouds only

        world, asked = self._world, self._asked()
        if world is None or asked is None:
            return False
        underlay = world.facts.underlay
        address = underlay.address if underlay is not None else None
        keeper.ask(WantedRoute(asked, address) if address is not None else None)
        return True

    def _new_keeper(self) -> CloudKeeper:
        from flanpy.cloud.keeper import CloudKeeper, KeeperParts  # noqa: PLC0415, for clouds only
        from flanpy.cloud.port import Calls  # noqa: PLC0415, for clouds only
        from flanpy.cloud.providers import provider  # noqa: PLC0415, for clouds only

        calls = Calls()
        return CloudKeeper(
            KeeperParts(provider(self._backend, calls, self._options.endpoint), self._registry, calls),
            clock=self._clock,
            interval=self._options.interval,
            publish=self._published,
            made=self._remember,
            was=self._made.standing if self._made is not None else None,
        )

    def _published(self, status: CloudStatus) -> None:
        if status.host is not None:
            self._target = status.host.target
        here = CloudHere(self._backend, self._target, status.standing) if self._target else None
        self._out.published(self._backend, status, here)
        if self._made is None:
            self._news.set()  # nothing may be left to take back

    def _remember(self, made: CloudHere | None) -> None:
        self._made = made
        self._out.remember(self._backend, made)
