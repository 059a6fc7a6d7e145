"""Follows where etcd is: the addresses behind the endpoints, from which no route of the overlay may lead away.

Owns the look-up of names, again and again, and what was found before: a name that cannot be resolved for the moment
keeps its addresses, as what keeps it from being resolved may be the very route in question. In: the endpoints, and
addresses from the disk. Out: all addresses, whenever they change.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from flanpy.clock import Clock, set_within
from flanpy.model.address import IPAddress
from flanpy.model.border import EtcdAddress
from flanpy.probe.tcp_probe import tcp_probe
from flanpy.store.endpoint import Endpoint

LOOK_AGAIN = 60.0
"""Seconds between two look-ups of the names."""

TCP_PROBE_S = 2.0
"""Seconds for an answer to a TCP probe; a lost packet is sent again after one."""

MOST_KEPT = 16
"""Addresses kept of one endpoint, the newest first: a balancer may answer with another each time."""


class EtcdWays:
    """The addresses of `endpoints()`; `changed` takes all of them."""

    def __init__(
        self,
        endpoints: Callable[[], tuple[Endpoint, ...]],
        *,
        clock: Clock,
        changed: Callable[[tuple[EtcdAddress, ...]], None],
    ) -> None:
        self._endpoints = endpoints
        self._clock = clock
        self._changed = changed
        self._known: dict[str, tuple[IPAddress, ...]] = {}
        self._told: tuple[EtcdAddress, ...] = ()
        self._again = asyncio.Event()

    @property
    def addresses(self) -> tuple[EtcdAddress, ...]:
        """Return the addresses last passed to `changed`."""
        return self._told

    def recall(self, known: Iterable[EtcdAddress]) -> None:
        """Before `run`: what the disk knows, and the addresses that need no look-up."""
        wanted = {str(endpoint) for endpoint in self._endpoints()}
        for one in known:
            if one.endpoint in wanted:
                self._learn(one.endpoint, [one.address])
        for endpoint in self._endpoints():
            if (address := _literal(endpoint)) is not None:
                self._learn(str(endpoint), [address])
        self._tell()

    async def answers(self) -> bool | None:
        """Probe every known address; report whether one accepted or refused, None if none says anything of the way.

        Raises UnableToAsk where no answer came, and one was not asked for. A port of this host may be that of a proxy,
        which answers for itself and not for etcd.
        """
        ports = {str(endpoint): endpoint.port for endpoint in self._endpoints()}
        far = [one for one in self._told if not one.address.is_loopback and one.endpoint in ports]
        if not far:
            return None
        probes = (
            tcp_probe(one.address, ports[one.endpoint], clock=self._clock, deadline=TCP_PROBE_S)
            for one in far
        )
        took = await asyncio.gather(*probes, return_exceptions=True)
        if any(isinstance(one, float) for one in took):
            return True
        for one in took:
            if isinstance(one, BaseException):
                raise one
        return False

    def look_again(self) -> None:
        """Look at once: the endpoints are others now, or etcd was lost."""
        self._again.set()

    async def run(self) -> None:
        """Keep the addresses current, without end."""
        while True:
            self._again.clear()
            endpoints = self._endpoints()
            for endpoint in endpoints:
                self._learn(str(endpoint), await _resolved(endpoint))
            for gone in self._known.keys() - {str(endpoint) for endpoint in endpoints}:
                del self._known[gone]
            self._tell()
            await set_within(self._again, self._clock, LOOK_AGAIN)

    def _learn(self, endpoint: str, addresses: Iterable[IPAddress]) -> None:
        merged = dict.fromkeys((*addresses, *self._known.get(endpoint, ())))
        self._known[endpoint] = tuple(merged)[:MOST_KEPT]

    def _tell(self) -> None:
        pairs = ((name, address) for name, found in self._known.items() for address in found)
        told = tuple(
            EtcdAddress(name, address)
            for name, address in sorted(pairs, key=lambda pair: (pair[0], pair[1].version, int(pair[1])))
        )
        if told != self._told:
            self._told = told
            self._changed(told)


def _literal(endpoint: Endpoint) -> IPAddress | None:
    try:
        return ip_address(endpoint.host)
    except ValueError:
        return None


async def _resolved(endpoint: Endpoint) -> list[IPAddress]:
    """The addresses of one endpoint, as the system resolves names; none while it cannot."""
    literal = _literal(endpoint)
    if literal is not None:
        return [literal]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM
        )
    except (OSError, UnicodeError):
        return []
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
