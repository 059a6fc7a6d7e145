"""The routes at a cloud provider that a stopped daemon left, for `flanpyctl cleanup`.

What is removed is read from the provider: a route to the subnet that `cloud.json` names, if it leads to this very host.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flanpy.cli.base.host import Host
from flanpy.errors import CloudError, ConfigError
from flanpy.host import cloud_file
from flanpy.model.cloud import CloudOp, CloudVerb

if TYPE_CHECKING:
    from flanpy.cloud.port import Provider


@dataclass(frozen=True, slots=True)
class CloudLeft:
    """`problem` says why the provider could not be asked; then `cloud.json` stays, for the next cleanup."""

    ops: tuple[CloudOp, ...] = ()
    problem: str = ""
    provider: Provider | None = None

    @property
    def lines(self) -> list[str]:
        """As they are shown."""
        return [f"cloud route: {op}" for op in self.ops]

    def remove(self) -> None:
        """Raises CloudError."""
        for op in self.ops:
            assert self.provider is not None
            self.provider.apply(op)


def cloud_left(host: Host) -> CloudLeft:
    """Ask the provider; nothing where this host made no route."""
    here = cloud_file.load(host.settings.state_dir)
    if here is None or here.address is None:
        return CloudLeft()
    from flanpy.cloud.port import Calls
    from flanpy.cloud.providers import provider

    try:
        asked = provider(here.backend, Calls(), host.settings.cloud.endpoint)
        this = asked.host(here.address)
        ops = tuple(
            CloudOp(CloudVerb.DELETE, route, route)
            for table in asked.tables(this)
            for route in table.routes
            if route.destination == here.standing and route.target == this.target
        )
    except (CloudError, ConfigError) as error:
        problem = f"the route to {here.standing} at {here.backend} stays, as the provider could not be asked: {error}"
        return CloudLeft(problem=problem)
    return CloudLeft(ops, provider=asked)
