"""Cloud routes in the daemon: one `ProviderSide` for each provider, since a network may move from one to another.

In: each pass's world. Out: to the loop what our routes lead to and for which subnet they stand, to the board one status
of all providers, to the disk what was made.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from flanpy.clock import Clock
from flanpy.config import Settings
from flanpy.daemon.cloud.provider_side import ProviderSide
from flanpy.daemon.cloud.told import told
from flanpy.errors import HostError
from flanpy.host import cloud_file
from flanpy.host.disk_work import DiskWork
from flanpy.log import get_logger
from flanpy.model.cloud import CLOUDS, CloudHere, CloudStatus
from flanpy.model.world import World
from flanpy.store.cloud_routes import EtcdRegistry, RouteStore

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = get_logger()

CLOSE_PATIENCE = 2.0


class CloudSide:
    """`note` takes each status, None once there is nothing to say; `here` what planners may know of providers."""

    def __init__(
        self,
        settings: Settings,
        store: RouteStore,
        node_id: str,
        *,
        clock: Clock,
        note: Callable[[CloudStatus | None], None],
        here: Callable[[tuple[CloudHere, ...]], None],
    ) -> None:
        self._state_dir = settings.state_dir
        self._clock = clock
        self._note = note
        self._tell = here
        self._made = {one.backend: one for one in cloud_file.load(settings.state_dir)}
        self._statuses: dict[str, CloudStatus] = {}
        self._here: dict[str, CloudHere] = {}
        self._seen: tuple[object, ...] = ()
        self._backend = ""
        self._disk = DiskWork[None](
            settings.state_dir / cloud_file.FILE_NAME, done=lambda _saved: None, failed=_unsaved
        )
        registry = EtcdRegistry(store, settings.etcd.prefix, node_id)
        self._sides = {
            backend: ProviderSide(
                backend, settings.cloud, registry, clock=clock, out=self, made=self._made.get(backend)
            )
            for backend in sorted(CLOUDS)
        }

    def look(self, world: World, *, doubtful: bool = False) -> None:
        """Take the world of a pass; `doubtful`: peers do not answer, which may be the provider's doing."""
        seen = (world.network, world.former, world.own, world.own_confirmed, world.view, world.facts.underlay)
        news = len(seen) != len(self._seen) or any(a is not b for a, b in zip(seen, self._seen, strict=True))
        self._seen = seen
        self._backend = world.network.backend_type if world.network is not None else ""
        for side in self._sides.values():
            if news:
                side.look(world)
            if doubtful:
                side.doubt()

    def tasks(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Name a root task for each provider, which runs without end."""
        return {f"cloud_{backend}": side.run() for backend, side in self._sides.items()}

    # From the sides (provider_side.Out)

    def published(self, backend: str, status: CloudStatus | None, here: CloudHere | None) -> None:
        if status is None:
            self._statuses.pop(backend, None)
        else:
            self._statuses[backend] = status
        if here is None:
            self._here.pop(backend, None)
        else:
            self._here[backend] = here
        self._note(told(self._statuses, self._backend))
        self._tell(tuple(self._here[name] for name in sorted(self._here)))

    def remember(self, backend: str, made: CloudHere | None) -> None:
        directory = self._state_dir
        if made is None:
            self._made.pop(backend, None)
        else:
            self._made[backend] = made
        all_made = tuple(self._made[name] for name in sorted(self._made))
        if all_made:
            self._disk.give(lambda: cloud_file.save(directory, all_made))
        else:
            self._disk.give(lambda: cloud_file.forget(directory))

    async def close(self) -> None:
        """Let the disk take what it was given, within reason."""
        await self._disk.settled(CLOSE_PATIENCE)

    def counts(self) -> Iterator[Metric]:
        """Calls of the providers by outcome, changes of their tables, and the age of what is known of them."""
        from flanpy.status.metrics.cloud import cloud_counts  # noqa: PLC0415, with the listeners

        status = told(self._statuses, self._backend)
        if status is not None:
            yield from cloud_counts(status, now=self._clock.monotonic())


def _unsaved(error: HostError) -> None:
    log.warning(
        "cloud_routes_unsaved", error=error, action="a move to another backend may leave them at the provider"
    )
