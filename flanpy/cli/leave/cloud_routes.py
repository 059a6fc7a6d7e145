"""The routes at a cloud provider that a stopped daemon left, for `flanpyctl cleanup`.

What is removed is read from the providers: a route to the subnet that `cloud.json` names, if it leads to this very
host; and it is removed as the daemon does it, under a claim in etcd.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flanpy.cli.base.host import Host
from flanpy.errors import CloudError, ConfigError, StoreError
from flanpy.host import cloud_file
from flanpy.model.cloud import CloudHere, CloudRoute

if TYPE_CHECKING:
    from flanpy.cloud.port import Provider
    from flanpy.store.cloud_routes import RouteStore


@dataclass(frozen=True, slots=True)
class Left:
    """One route of ours, and the client of its provider."""

    route: CloudRoute
    provider: Provider


@dataclass(frozen=True, slots=True)
class CloudLeft:
    """`problems` say why a provider could not be asked; while there are any `cloud.json` stays, for another cleanup."""

    routes: tuple[Left, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        """As they are shown."""
        return [f"cloud route: delete {left.route}" for left in self.routes]

    def remove(self, host: Host) -> tuple[str, ...]:
        """Remove them; returns why a route stays, one line for each that does. Raises CloudError."""
        if not self.routes:
            return ()
        from flanpy.cli.base.etcd import with_etcd  # grpc, which a purge does not bring

        try:
            return with_etcd(host.settings, lambda store: self._remove(store, host))
        except StoreError as error:
            text = "stays, as its removal could not be claimed in etcd"
            return tuple(f"the route {left.route} {text}: {error}" for left in self.routes)

    async def _remove(self, store: RouteStore, host: Host) -> tuple[str, ...]:
        from flanpy.cloud.removal import remove_claimed
        from flanpy.store.cloud_routes import EtcdRegistry

        registry = EtcdRegistry(store, host.settings.etcd.prefix, host.node_id or "")
        return tuple([
            f"the route {left.route} stays: another host leases that subnet, or is removing the route"
            for left in self.routes
            if not await remove_claimed(left.provider, registry, left.route)
        ])  # fmt: skip


def cloud_left(host: Host) -> CloudLeft:
    """Ask each provider at which this host made a route."""
    routes: list[Left] = []
    problems: list[str] = []
    for here in cloud_file.load(host.settings.state_dir):
        try:
            routes += _left_at(here, host)
        except (CloudError, ConfigError) as error:
            text = "stays, as the provider could not be asked"
            problems.append(f"the route to {here.standing} at {here.backend} {text}: {error}")
    return CloudLeft(tuple(routes), tuple(problems))


def _left_at(here: CloudHere, host: Host) -> list[Left]:
    if here.address is None:
        return []
    from flanpy.cloud.port import Calls
    from flanpy.cloud.providers import provider

    asked = provider(here.backend, Calls(), host.settings.cloud.endpoint)
    this = asked.host(here.address)
    return [
        Left(route, asked)
        for table in asked.tables(this)
        for route in table.routes
        if route.destination == here.standing and route.target == this.target
    ]
