"""Routes of hosts whose lease is gone: when they may go, and which host removes one.

A lease that runs out has been without its host for a day; one that etcd lost is written again within seconds. So a
route has to be stale for a whole interval. Then the hosts have their turn one after another, in an order that differs
for each route: the first of them does it, and the next only if the first is gone itself. A removal is made under a
claim in etcd (`port.Registry.claim`), which is had only while nobody leases the subnet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final

from flanpy.errors import CloudError, StoreError
from flanpy.log import get_logger
from flanpy.model.cloud import CloudPlan, CloudRoute, CloudWanted

log = get_logger()

MANY: Final = 10
"""Stale routes from which on more than half of all of them wait for a person: so many hosts do not die at once."""


class StaleRoutes:
    """Since when each is stale, in monotonic seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._since: dict[CloudRoute, float] = {}
        self.removed = 0

    async def remove(
        self,
        plan: CloudPlan,
        wanted: CloudWanted,
        now: float,
        remove: Callable[[CloudRoute], Awaitable[bool]],
    ) -> str:
        """Remove those whose turn it is with us; says why none is, "" where nothing speaks against it."""
        self._since = {route: self._since.get(route, now) for route in plan.stale}
        if not plan.stale:
            return ""
        leased = len(wanted.leased)
        if len(plan.stale) > MANY and len(plan.stale) > leased:
            return f"{len(plan.stale)} routes have no lease, and only {leased} have one"
        for route, since in tuple(self._since.items()):
            if now - since >= self._interval * (1 + turn(route, wanted)):
                await self._try(route, remove)
        return ""

    async def _try(self, route: CloudRoute, remove: Callable[[CloudRoute], Awaitable[bool]]) -> None:
        try:
            if await remove(route):
                self.removed += 1
                del self._since[route]
        except (CloudError, StoreError) as error:
            log.warning("cloud_route_kept", op=str(route), error=str(error))


def turn(route: CloudRoute, wanted: CloudWanted) -> int:
    """Return the number of hosts that try before this one."""

    def place(node: str) -> bytes:
        return sha256(f"{route.destination} {node}".encode()).digest()

    mine = place(wanted.node_id)
    return sum(place(node) < mine for node in wanted.hosts if node != wanted.node_id)
