"""Runs the keeper of cloud routes while a network asks for one, or while routes of ours are left at a provider.

`flanpy.cloud`, and with it a provider's SDK, is loaded only then. In: each pass's world. Out: to the loop what our
routes lead to and for which subnet they stand, to the board the keeper's status, to the disk what was made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from flanpy.backend.cloud import wanted
from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.cloud.registry import EtcdRegistry, Store
from flanpy.errors import ConfigError, HostError
from flanpy.host import cloud_file
from flanpy.host.disk_work import DiskWork
from flanpy.log import get_logger
from flanpy.model.cloud import CloudFault, CloudHere, CloudStatus, CloudTrouble, CloudWanted
from flanpy.model.world import World

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from flanpy.cloud.keeper import CloudKeeper

log = get_logger()

CLOSE_PATIENCE = 2.0
RETRY_S = 30.0
"""Seconds until a missing SDK is looked for again."""


class CloudSide:
    """`note` takes each status, None once there is nothing to say; `here` what planners may know of the provider."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        node_id: str,
        *,
        clock: Clock,
        note: Callable[[CloudStatus | None], None],
        here: Callable[[CloudHere | None], None],
    ) -> None:
        self._settings = settings
        self._registry = EtcdRegistry(store, settings.etcd.prefix, node_id)
        self._clock = clock
        self._note = note
        self._tell = here
        self._made = cloud_file.load(settings.state_dir)
        self._keeper: CloudKeeper | None = None
        self._target = self._made.target if self._made is not None else ""
        self._seen: tuple[object, ...] = ()
        self._world: World | None = None
        self._news = asyncio.Event()
        self._disk = DiskWork[None](
            settings.state_dir / cloud_file.FILE_NAME, done=lambda _saved: None, failed=_unsaved
        )

    def look(self, world: World, *, doubtful: bool = False) -> None:
        """Take the world of a pass; `doubtful`: peers do not answer, which may be the provider's doing."""
        seen = (world.network, world.former, world.own, world.own_confirmed, world.view, world.facts.underlay)
        if len(seen) != len(self._seen) or any(a is not b for a, b in zip(seen, self._seen, strict=True)):
            self._seen, self._world = seen, world
            self._news.set()
        if doubtful and self._keeper is not None:
            self._keeper.doubt()

    async def run(self) -> None:
        """Run without end: a keeper for as long as one is wanted."""
        while True:
            await self._news.wait()
            self._news.clear()
            asked = self._asked()
            if asked is not None:
                await self._keep(asked.backend)

    def _asked(self) -> CloudWanted | None:
        return wanted(self._world, self._made) if self._world is not None else None

    async def _keep(self, backend: str) -> None:
        """Run the keeper of one provider until nothing is asked of it any more."""
        try:
            keeper = self._keeper = self._new_keeper(backend)
        except ConfigError as error:
            log.error("cloud_backend_unusable", error=str(error))
            self._note(CloudStatus(backend, trouble=CloudTrouble(CloudFault.SDK, "import", str(error))))
            await self._clock.sleep(RETRY_S)
            self._news.set()
            return
        task = asyncio.create_task(keeper.run(), name="cloud_keeper")
        task.add_done_callback(lambda _done: self._news.set())
        try:
            while not task.done() and self._hand_over(keeper, backend):
                await self._news.wait()
                self._news.clear()
            if task.done():
                task.result()  # it runs for ever: this raises what it ended by
        finally:
            task.cancel()
            self._keeper = None
        self._news.set()
        self._note(None)
        self._tell(None)

    def _hand_over(self, keeper: CloudKeeper, backend: str) -> bool:
        """Tell the keeper what is wanted; False once that is nothing of this provider."""
        from flanpy.cloud.keeper import Asked  # noqa: PLC0415, for clouds only

        world, asked = self._world, self._asked()
        if world is None or asked is None or asked.backend != backend:
            return False
        underlay = world.facts.underlay
        address = underlay.address if underlay is not None else None
        keeper.ask(Asked(asked, address) if address is not None else None)
        return True

    def _new_keeper(self, backend: str) -> CloudKeeper:
        from flanpy.cloud.keeper import CloudKeeper, Ends  # noqa: PLC0415, for clouds only
        from flanpy.cloud.port import Calls  # noqa: PLC0415, for clouds only
        from flanpy.cloud.providers import provider  # noqa: PLC0415, for clouds only

        calls = Calls()
        made = self._made if self._made is not None and self._made.backend == backend else None
        return CloudKeeper(
            Ends(provider(backend, calls, self._settings.cloud.endpoint), self._registry, calls),
            clock=self._clock,
            interval=self._settings.cloud.interval,
            publish=self._published,
            made=self._remember,
            was=made.standing if made is not None else None,
        )

    def _published(self, status: CloudStatus) -> None:
        if status.host is not None:
            self._target = status.host.target
        self._note(status)
        if self._target:
            self._tell(CloudHere(status.backend, self._target, status.standing))
        if self._made is None:
            self._news.set()  # nothing may be left to take back

    def _remember(self, made: CloudHere | None) -> None:
        directory = self._settings.state_dir
        self._made = made
        if made is None:
            self._disk.give(lambda: cloud_file.forget(directory))
        else:
            self._disk.give(lambda: cloud_file.save(directory, made))

    async def close(self) -> None:
        """Let the disk take what it was given, within reason."""
        await self._disk.settled(CLOSE_PATIENCE)

    def counts(self) -> Iterator[Metric]:
        """Calls of the provider by outcome, changes of its tables, and the age of what is known of them."""
        from flanpy.status.metrics.cloud import cloud_counts  # noqa: PLC0415, with the listeners

        status = self._keeper.status if self._keeper is not None else None
        if status is not None:
            yield from cloud_counts(status, now=self._clock.monotonic())


def _unsaved(error: HostError) -> None:
    log.warning(
        "cloud_routes_unsaved", error=error, action="a move to another backend may leave them at the provider"
    )
