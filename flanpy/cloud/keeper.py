"""Keeps this host's route in the provider's tables, and removes those of hosts that are gone for good.

Level-triggered like the reconcile loop, and beside it: a provider that takes seconds must not keep the kernel waiting.
A look reads the tables again, `backend.cloud` says what to change, the changes are made, and a `CloudStatus` goes out.
Looks come every `interval`, at once when what is wanted of our own route changed, and sooner on doubt.

Hosts that start together are told apart by a random pause that grows with their number; a refusal is followed by a
pause that doubles, of which each host takes a random part. Nothing is changed for which the leases must be known while
they are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from random import Random
from types import MappingProxyType
from typing import Final

from flanpy.backend.cloud import Records, chosen_tables, cloud_plan
from flanpy.clock import Clock, set_within
from flanpy.cloud.beside import beside
from flanpy.cloud.port import Calls, Provider, Registry, trouble
from flanpy.cloud.removal import remove_claimed
from flanpy.cloud.stale import StaleRoutes
from flanpy.errors import CloudError, StoreError
from flanpy.log import get_logger
from flanpy.model.cloud import (
    CloudFault,
    CloudHere,
    CloudHost,
    CloudOp,
    CloudPlan,
    CloudRecord,
    CloudRoute,
    CloudStatus,
    CloudTable,
    CloudTrouble,
    CloudVerb,
    CloudWanted,
)
from flanpy.outage import Transition

log = get_logger()

SPREAD_S: Final = 0.05
"""Seconds for each host of the network over which their first looks are spread, up to `MOST_SPREAD_S`."""

MOST_SPREAD_S: Final = 15.0
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 120.0
DOUBT_S: Final = 20.0
"""Least time between two looks that are made on doubt."""

_UNREADABLE: Final = (LookupError, TypeError, ValueError, AttributeError)
"""What an answer that is not of the API's form may raise where it is taken apart; it must not end the keeper."""

CALL_S: Final = 90.0
"""Patience with a look or a change; the clients' own deadlines are shorter."""


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """The parts that the keeper works on; `calls` are counted by the provider's client."""

    provider: Provider
    registry: Registry
    calls: Calls


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """The wanted route, and the underlay's address by which the provider knows this host."""

    wanted: CloudWanted
    address: IPv4Address


class CloudKeeper:
    """`publish` is called with each new status, `made` when another subnet (or none) has routes of ours.

    `was` is the subnet that had them when the daemon ended last.
    """

    def __init__(
        self,
        ends: KeeperParts,
        *,
        clock: Clock,
        interval: float,
        publish: Callable[[CloudStatus], None],
        made: Callable[[CloudHere | None], None],
        was: IPv4Network | None = None,
        rng: Random | None = None,
    ) -> None:
        self._provider = ends.provider
        self._registry = ends.registry
        self._calls = ends.calls
        self._clock = clock
        self._interval = interval
        self._publish = publish
        self._made = made
        self._was = was
        self._rng = rng or Random()
        self._asked: WantedRoute | None = None
        self._wake = asyncio.Event()
        self._failures = 0
        self._doubted_at = float("-inf")
        self._outage = Transition()
        self._status: CloudStatus | None = None
        self._changes = {verb.value: 0 for verb in CloudVerb}
        self._asked_denied = False
        self._vacant: IPv4Network | None = None
        self._stale = StaleRoutes(interval)

    @property
    def status(self) -> CloudStatus | None:
        """The last one; None before the first look."""
        return self._status

    @property
    def idle(self) -> bool:
        """Report whether nothing of ours is left to take back."""
        return self._was is None

    def ask(self, asked: WantedRoute | None) -> None:
        """Take what is wanted from now on; None while that cannot be known."""
        before, self._asked = self._asked, asked
        if asked is None:
            return
        if before is None or _own(before) != _own(asked):
            self._failures = 0
            self._wake.set()

    def doubt(self) -> None:
        """Look soon, as packets do not arrive."""
        now = self._clock.monotonic()
        if now - self._doubted_at >= min(DOUBT_S, self._interval):
            self._doubted_at = now
            self._wake.set()

    async def run(self) -> None:
        """Keep the route, forever."""
        await self._wake.wait()
        await self._clock.sleep(self._rng.uniform(0, self._spread()))
        while True:
            self._wake.clear()
            if self._asked is not None:
                await self.look(self._asked)
            await set_within(self._wake, self._clock, self._pause())

    def _spread(self) -> float:
        hosts = len(self._asked.wanted.leased) if self._asked is not None else 0
        return min(MOST_SPREAD_S, SPREAD_S * max(0, hosts - 1))

    def _pause(self) -> float:
        if not self._failures:
            return self._interval * self._rng.uniform(0.9, 1.1)
        longest = min(LONGEST_PAUSE_S, self._interval)
        most = min(longest, FIRST_PAUSE_S * 2.0 ** min(self._failures - 1, 16))
        return self._rng.uniform(most / 4, most)

    async def look(self, asked: WantedRoute) -> None:
        """Look once, change what is to be changed, and publish. Raises nothing that a provider or etcd may cause."""
        base = self._status or CloudStatus(asked.wanted.backend, standing=self._was)
        try:
            async with asyncio.timeout(CALL_S):
                status = await self._look(asked)
        except CloudError as error:
            status = self._failed(base, trouble(error))
        except StoreError as error:
            status = self._failed(base, CloudTrouble(CloudFault.UNREACHABLE, "etcd", str(error)))
        except TimeoutError:
            late = CloudTrouble(CloudFault.UNREACHABLE, "look", f"no answer within {CALL_S:g} s")
            status = self._failed(base, late)
        except _UNREADABLE as error:
            odd = CloudTrouble(CloudFault.REFUSED, "look", f"an answer cannot be read: {error!r}")
            status = self._failed(base, odd)
        changes = {**self._changes, "stale": self._stale.removed}
        self._status = replace(
            status, calls=MappingProxyType(dict(self._calls.counts)), changes=MappingProxyType(changes)
        )
        self._log(self._status.trouble)
        self._publish(self._status)

    def _failed(self, base: CloudStatus, what: CloudTrouble) -> CloudStatus:
        self._failures += 1
        return replace(base, trouble=what)

    async def _look(self, asked: WantedRoute) -> CloudStatus:
        wanted, provider = asked.wanted, self._provider
        records = await self._registry.records()
        host = await beside(lambda: provider.host(asked.address))
        tables = await beside(lambda: provider.tables(host))
        warned = await self._forwarding(host)
        if wanted.subnet != self._vacant:
            self._vacant = None
        plan = cloud_plan(wanted, host, tables, records, was=self._was)
        missing = set(wanted.tables) - {table.id for table in tables}
        refused: CloudTrouble | None = None
        if missing:
            text = f"{', '.join(sorted(missing))} is no route table of this host's network ({host.home})"
            refused = CloudTrouble(CloudFault.WRONG_TABLE, "Backend.RouteTableID", text)
        for op in plan.ops:
            refused = await self._carry_out(op, wanted) or refused
        standing = await self._stood(wanted, host, tables, plan, records, refused)
        held = await self._stale.remove(plan, wanted, self._clock.monotonic(), self._remove)
        self._failures = self._failures + 1 if refused else 0
        return CloudStatus(
            wanted.backend,
            host,
            _after(tables, plan.ops) if refused is None else tables,
            plan,
            refused or warned,
            await self._denied(host, tables),
            held,
            _misplaced(wanted, tables),
            standing,
            self._clock.monotonic(),
        )

    async def _forwarding(self, host: CloudHost) -> CloudTrouble | None:
        """Let this host forward. Routes are made all the same: a person may be about to allow it."""
        if host.forwards:
            return None
        try:
            await beside(lambda: self._provider.allow_forwarding(host))
        except CloudError as error:
            found = trouble(error)
            text = f"source/destination check of {host.target} is on, and may not be switched off: {found}"
            return (
                found
                if found.fault is CloudFault.UNFIT
                else CloudTrouble(CloudFault.UNFIT, found.action, text)
            )
        log.info("cloud_forwarding_allowed", op=host.target)
        return None

    async def _carry_out(self, op: CloudOp, wanted: CloudWanted) -> CloudTrouble | None:
        """Change one route of ours."""
        subnet = op.route.destination
        if op.verb is CloudVerb.DELETE:
            return await self._take_back(op, wanted)
        if self._vacant != subnet and await self._registry.claimed(subnet):
            # A host removes the route that the subnet's last owner left; it must not find ours.
            text = f"another host is removing an old route to {subnet}"
            return CloudTrouble(CloudFault.THROTTLED, op.verb.value, text)
        self._vacant = subnet
        try:
            await beside(lambda: self._provider.apply(op))
        except CloudError as error:
            return trouble(error)
        self._changes[op.verb.value] += 1
        log.info("cloud_route_changed", op=str(op))
        return None

    async def _take_back(self, op: CloudOp, wanted: CloudWanted) -> CloudTrouble | None:
        """Delete a route of ours that is no longer wanted.

        Where another leases the subnet by now, that host makes the route its own.
        """
        try:
            if await self._remove(op.route, forget=op.route.destination != wanted.subnet):
                self._changes[op.verb.value] += 1
        except CloudError as error:
            return trouble(error)
        return None

    async def _remove(self, route: CloudRoute, *, forget: bool = True) -> bool:
        """Delete a route whose subnet no other host leases. Says whether it did; raises CloudError, StoreError."""
        if not await remove_claimed(self._provider, self._registry, route, forget=forget):
            return False
        log.info("cloud_route_removed", op=str(route))
        return True

    async def _stood(
        self,
        wanted: CloudWanted,
        host: CloudHost,
        tables: tuple[CloudTable, ...],
        plan: CloudPlan,
        records: Records,
        refused: CloudTrouble | None,
    ) -> IPv4Network | None:
        """The subnet for which our route stands in every table where it should, told to all by our record in etcd."""
        if self._was not in {None, wanted.subnet} and refused is None and wanted.settled:
            self._remember(None, wanted, host)
        if wanted.subnet is None or refused is not None or plan.foreign:
            return None
        own = next((table.id for table in tables if table.own), "")
        chosen = chosen_tables(wanted, tables, records)
        record = CloudRecord(host.target, wanted.node_id, own, tuple(sorted(chosen)))
        if records.get(wanted.subnet) != record:
            await self._registry.write(wanted.subnet, record)
        if not chosen:
            return None
        self._remember(wanted.subnet, wanted, host)
        return wanted.subnet

    def _remember(self, subnet: IPv4Network | None, wanted: CloudWanted, host: CloudHost) -> None:
        if subnet != self._was:
            self._was = subnet
            address = self._asked.address if self._asked is not None else None
            made = CloudHere(wanted.backend, host.target, subnet, address) if subnet is not None else None
            self._made(made)

    async def _denied(self, host: CloudHost, tables: tuple[CloudTable, ...]) -> tuple[CloudTrouble, ...]:
        """Find the permissions that this host lacks, once, and again while any is missing."""
        known = self._status.denied if self._status is not None else ()
        if self._asked_denied and not known:
            return ()
        found = await beside(lambda: self._provider.denied(host, tables))
        self._asked_denied = True
        return found

    def _log(self, what: CloudTrouble | None) -> None:
        now = self._clock.monotonic()
        if what is not None:
            if self._outage.failed(now, reason=str(what), count=1):
                log.warning("cloud_call_failed", op=what.action, error=what.text, reason=what.fault.value)
        elif ended := self._outage.succeeded(now):
            log.info("cloud_recovered", outage=round(ended.seconds, 3), count=ended.count)


def _own(asked: WantedRoute) -> tuple[object, ...]:
    """Return the part that concerns our own route."""
    wanted = asked.wanted
    return wanted.backend, wanted.subnet, wanted.settled, wanted.tables, asked.address


def _misplaced(wanted: CloudWanted, tables: tuple[CloudTable, ...]) -> str:
    own = next((table.id for table in tables if table.own), "")
    return own if wanted.tables and own and own not in wanted.tables else ""


def _after(tables: tuple[CloudTable, ...], ops: tuple[CloudOp, ...]) -> tuple[CloudTable, ...]:
    """The tables once the changes are made; how they really are says the next look."""
    found = []
    for table in tables:
        mine = [op for op in ops if op.route.table == table.id]
        gone = {op.previous for op in mine if op.previous is not None}
        new = tuple(op.route for op in mine if op.verb is not CloudVerb.DELETE)
        routes = (*(route for route in table.routes if route not in gone), *new)
        found.append(replace(table, routes=routes, size=table.size + len(routes) - len(table.routes)))
    return tuple(found)
