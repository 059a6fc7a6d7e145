"""Runs the resolver: opens it, tries again where it cannot listen, and keeps the host's own servers current.

Loads dnspython only where the resolver is on (5 MB). Owns who may ask: containers on a bridge of this host other than
the underlay, and this host itself, which learns of all networks and is asked for nothing else, so that no loop is made.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flanpy.clock import Clock
from flanpy.config import ListenAddress
from flanpy.errors import HostError
from flanpy.files import atomic
from flanpy.files.news import FileNews
from flanpy.kernel.ethtool import Ethtool
from flanpy.log import get_logger
from flanpy.model.networks.names import FLAT
from flanpy.model.world import World
from flanpy.names.table import Asker, NameTable

if TYPE_CHECKING:
    from flanpy.names.resolver.counts import ResolverCounts
    from flanpy.names.resolver.server import Resolver
    from flanpy.names.resolver.upstreams import Upstream

log = get_logger()

RESOLV_CONF: Final = Path("/etc/resolv.conf")
RETRY_S: Final = 2.0
"""Seconds between two attempts to listen."""
_OFTEN_S, _RARELY_S = 5.0, 60.0
_LARGEST: Final = 1 << 16
_BRIDGES_S: Final = 5.0
"""Seconds for which a link is known as a bridge or not; its number is given to no other link so soon."""


class Serving:
    """The resolver of one daemon. `changed` is called when what there is to tell of it is another."""

    def __init__(
        self,
        listen: ListenAddress,
        table: NameTable,
        world: Callable[[], World],
        *,
        clock: Clock,
        changed: Callable[[], None],
    ) -> None:
        self.listen = listen
        self._table = table
        self._world = world
        self._clock = clock
        self._changed = changed
        self._door = Door(table, world, clock)
        self._resolver: Resolver | None = None
        self._servers: tuple[Upstream, ...] = ()
        self.error = ""

    @property
    def servers(self) -> tuple[str, ...]:
        """Return the host's own servers, for people."""
        return tuple(str(one.address) for one in self._servers)

    @property
    def counts(self) -> ResolverCounts | None:
        """Return what was asked so far, None before the resolver is loaded."""
        return self._resolver.counts if self._resolver is not None else None

    async def serve(self) -> None:
        """Listen and answer until cancelled; an address that somebody has is tried again."""
        server = await asyncio.to_thread(importlib.import_module, "flanpy.names.resolver.server")
        assert isinstance(self.listen.host, IPv4Address)
        self._resolver = server.Resolver(self._table, self._door, lambda: self._servers, clock=self._clock)
        assert self._resolver is not None
        try:
            while True:
                try:
                    await self._resolver.open(self.listen.host, self.listen.port)
                except HostError as error:
                    self._told(str(error))
                    await self._clock.sleep(RETRY_S)
                    continue
                self._told("")
                await asyncio.Event().wait()
        finally:
            await self._resolver.close()

    async def follow_servers(self) -> None:
        """Read resolv.conf whenever it changes, until cancelled."""
        upstreams = await asyncio.to_thread(importlib.import_module, "flanpy.names.resolver.upstreams")
        news = FileNews(RESOLV_CONF)

        def look() -> str:
            news.arm()
            try:
                return atomic.read(RESOLV_CONF.resolve(), _LARGEST).decode(errors="replace")
            except OSError:
                return ""

        with news.listening():
            while True:
                found = upstreams.read_resolv_conf(await asyncio.to_thread(look), (self.listen.host,))
                if found != self._servers:
                    self._servers = found
                    self._changed()
                await news.wait(self._clock, _OFTEN_S, _RARELY_S)

    def _told(self, error: str) -> None:
        if error and not self.error:
            log.warning("names_not_served", address=str(self.listen), error=error)
        elif not error:
            log.info("names_served", address=str(self.listen))
        self.error = error
        self._changed()


class Door:
    """Judges who asks by the link that a question came in by and by its source."""

    def __init__(self, table: NameTable, world: Callable[[], World], clock: Clock) -> None:
        self._table = table
        self._world = world
        self._clock = clock
        self._ethtool = Ethtool()
        self._bridges: dict[int, tuple[float, str]] = {}

    def __call__(self, source: IPv4Address, link: int) -> Asker | None:
        """Return the asker, None for one that gets no answer."""
        name = self._link(link)
        world = self._world()
        underlay = world.facts.underlay
        if name == "lo":
            return Asker((*(one.network.name for one in world.named.networks), FLAT), outside=False)
        if not name or (underlay is not None and name == underlay.link):
            return None
        return Asker(self._table.networks_of(source) or _by_range(source, world))

    def _link(self, number: int) -> str:
        """Return the name of a bridge or of `lo`, "" for any other link."""
        known = self._bridges.get(number)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        if len(self._bridges) > 1024:
            self._bridges.clear()
        try:
            name = socket.if_indextoname(number)
        except OSError:
            name = ""
        if name != "lo" and self._ethtool.driver(name) != "bridge":
            name = ""
        self._bridges[number] = (self._clock.monotonic() + _BRIDGES_S, name)
        return name


def _by_range(source: IPv4Address, world: World) -> tuple[str, ...]:
    """Return the network of an address that no name is known of yet: a container may ask before Docker has told."""
    for joined in world.named.networks:
        if source in joined.network.subnet:
            return (joined.network.name,)
    subnets = () if world.own is None else world.own.key.subnets
    return (FLAT,) if any(source in subnet for subnet in subnets) else ()
