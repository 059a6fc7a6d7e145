"""Routes, ours and those that stand on a key of ours."""

from __future__ import annotations

from dataclasses import dataclass

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.key import Key
from flanpy.model.put_order import PutOrder
from flanpy.model.traits import OnLink, Traits

ROUTE_PROTO = 70
"""Our own routing protocol number (rtnetlink(7) `rtm_protocol`; not taken in iproute2's rt_protos)."""

MAIN_TABLE = 254
"""RT_TABLE_MAIN of rtnetlink(7)."""

BLACKHOLE_METRIC = 0xFFFFFFFF
"""The last choice: behind the route that a bridge with our subnet brings along."""


class _RouteTraits(Traits):
    """The key by which the kernel distinguishes routes, whatever their shape."""

    __slots__ = ()
    destination: IPNetwork
    table: int
    metric: int
    phase = PutOrder.ROUTE

    @property
    def key(self) -> Key:
        base, length = int(self.destination.network_address), self.destination.prefixlen
        return ("route", self.table, base, length, self.metric, self.destination.version)


@dataclass(frozen=True, slots=True)
class Route(OnLink, _RouteTraits):
    """A unicast route. `link` is the output link's name; `gateway` None means directly connected."""

    destination: IPNetwork
    link: str
    gateway: IPAddress | None = None
    onlink: bool = False
    table: int = MAIN_TABLE
    metric: int = 0
    proto: int = ROUTE_PROTO

    is_of_peer = True

    @property
    def destinations(self) -> tuple[IPNetwork, ...]:
        return (self.destination,)


@dataclass(frozen=True, slots=True)
class Blackhole(_RouteTraits):
    """A route that drops packets to a destination that no better route has."""

    destination: IPNetwork
    metric: int = BLACKHOLE_METRIC
    table: int = MAIN_TABLE
    proto: int = ROUTE_PROTO

    only_ours = True


@dataclass(frozen=True, slots=True)
class LocalRoute(_RouteTraits):
    """A route that makes a destination one of this host's own addresses, on no link that could go."""

    destination: IPNetwork
    metric: int = 0
    table: int = MAIN_TABLE
    proto: int = ROUTE_PROTO

    only_ours = True


@dataclass(frozen=True, slots=True)
class OtherRoute(_RouteTraits):
    """A route of a shape that we never make (multipath, blackhole, another family's gateway), on a key we may want."""

    destination: IPNetwork
    kind: str
    table: int = MAIN_TABLE
    metric: int = 0
    proto: int = 0

    deletable = False
