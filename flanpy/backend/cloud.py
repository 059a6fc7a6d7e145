"""The backends `aws-vpc` and `gce`: the provider's router carries packets to each host's subnet, without a tunnel.

The host gets no objects: packets to a peer's subnet take the host's default route to the provider's router, which has
one route for each host (flannel v0.19.2, backend/awsvpc and backend/gce). `cloud_plan` plans the provider's table;
`flanpy.cloud` reads and writes it. With `DirectRouting` (ours, as vxlan has it) a
peer on the same link is reached by a plain route, and its route at the provider stands all the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from types import MappingProxyType
from typing import Final

from flanpy.backend.advert import plain_record
from flanpy.backend.direct import DirectRoutes
from flanpy.backend.linkless import Linkless
from flanpy.backend.options import Reader
from flanpy.backend.way import Way, WayKind, Ways
from flanpy.errors import ConfigError
from flanpy.model.cloud import (
    AWS,
    CLOUDS,
    GCE,
    TARGET_FIELD,
    CloudHere,
    CloudHost,
    CloudOp,
    CloudPlan,
    CloudRecord,
    CloudRoute,
    CloudTable,
    CloudVerb,
    CloudWanted,
)
from flanpy.model.lease import BackendData, Lease, LeaseRecord, RawData
from flanpy.model.objects import KernelObject
from flanpy.model.quoting import quoted
from flanpy.model.world import World

Records = Mapping[IPv4Network, CloudRecord]

_MOST_TABLES: Final = 50


@dataclass(frozen=True, slots=True)
class CloudBackendOptions:
    """`tables` empty: the one that the host's own subnet is associated with, else the main one of its VPC."""

    tables: tuple[str, ...] = ()
    direct: bool = False


def read_options(backend: str, raw: Mapping[str, object]) -> CloudBackendOptions:
    """Read the options. Raises ConfigError naming key and value."""
    direct = Reader(backend, raw).boolean("DirectRouting")
    if backend == GCE:
        return CloudBackendOptions(direct=direct)
    return CloudBackendOptions(_tables(raw.get("routetableid")), direct)


def _tables(value: object) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one.startswith("rtb-") and one.isprintable() for one in found):
        raise ConfigError(
            f"Backend.RouteTableID of aws-vpc is {quoted(value)}: "
            "give the id of a route table (rtb-...), or a list of ids"
        )
    if not 0 < len(found) <= _MOST_TABLES:
        raise ConfigError(
            f"Backend.RouteTableID of aws-vpc has {len(found)} ids: give 1 to {_MOST_TABLES}, or leave it out"
        )
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class CloudPeerPlanner:
    """Implements `plan.desired.PeerPlanner`."""

    routes: DirectRoutes
    direct: bool

    @property
    def fixed(self) -> tuple[KernelObject, ...]:
        """Return no objects: there is no device."""
        return ()

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        subnet, public = lease.key.subnet, lease.record.public_ip
        if self.direct and subnet is not None and public is not None:
            route = self.routes.route(subnet, public)
            if route is not None:
                yield route

    def unreached(self, lease: Lease) -> bool:
        return self.way(lease).kinds == (WayKind.NONE,)

    def way(self, lease: Lease) -> Way:
        """Return how this host reaches the peer; the peer's own host reports whether the provider has its route."""
        subnet, public = lease.key.subnet, lease.record.public_ip
        if subnet is None or public is None:
            return Way((WayKind.NONE,), "it has no IPv4 subnet")
        if self.direct and self.routes.route(subnet, public) is not None:
            return Way((WayKind.DIRECT,), self.routes.explain(public))
        hop = self.routes.table.next_hop(subnet.network_address)
        if hop is None or hop.gateway is None:
            return Way((WayKind.NONE,), f"this host has no route to {subnet} by a gateway")
        return Way((WayKind.PROVIDER,), f"by gateway {hop.gateway} on {hop.link}")


class CloudBackend(Linkless):
    """Implements `backend.port.Backend` for one provider."""

    cure = "give this host a default route by the provider's router (DHCP does)"

    def __init__(self, name: str) -> None:
        self._name = name

    def validate(self, options: Mapping[str, object]) -> None:
        read_options(self._name, options)

    def advertise(self, world: World) -> LeaseRecord | None:
        """Return the record; it keeps the target of our present lease until the provider was asked again."""
        plain = plain_record(world, self._name)
        if plain is None:
            return None
        here = _here(world, self._name)
        data: BackendData | None = None
        if here is not None:
            data = RawData(json.dumps({TARGET_FIELD: here.target}, separators=(",", ":")))
        elif world.own is not None and world.own.record.backend_type == self._name:
            data = world.own.record.backend_data
        return replace(plain, backend_data=data)

    def planner(self, world: World) -> CloudPeerPlanner | None:
        if world.network is None or world.own is None or world.facts.underlay is None:
            return None
        options = read_options(self._name, world.network.backend_options)
        return CloudPeerPlanner(DirectRoutes.of(world), options.direct)

    def ways(self, world: World) -> Ways:
        raw = world.network.backend_options if world.network is not None else {}
        return CloudPeerPlanner(DirectRoutes.of(world), read_options(self._name, raw).direct).way


def _here(world: World, backend: str) -> CloudHere | None:
    return next((one for one in world.clouds if one.backend == backend), None)


def stands(world: World) -> bool:
    """Report whether the backend can be advertised, as far as the provider is concerned: our route is there."""
    network, own = world.network, world.own
    if network is None or network.backend_type not in CLOUDS:
        return True
    here = _here(world, network.backend_type)
    if own is None or own.key.subnet is None or here is None:
        return False
    return here.standing == own.key.subnet


def wanted(world: World, backend: str, was: CloudHere | None = None) -> CloudWanted | None:
    """Return the routes this world wants at a provider, also while hosts move from its backend to another one.

    `was` are the routes left there from an earlier network; they are removed once no routes are wanted.
    """
    view, own = world.view, world.own
    settled = view.in_sync and not view.stale
    configs = [world.network, world.former.network if world.former is not None else None]
    network = next((one for one in configs if one is not None and one.backend_type == backend), None)
    if network is None or network.network is None:
        if was is None or was.standing is None or world.network is None:
            return None
        return CloudWanted(backend, world.policy.node_id, was.standing, 0, settled=settled)
    leases = [lease for lease in view.leases.values() if lease.key.subnet is not None]
    hosts = {lease.record.node_id for lease in leases if lease.record.backend_type == network.backend_type}
    return CloudWanted(
        network.backend_type,
        world.policy.node_id,
        network.network,
        network.subnet_len,
        read_options(network.backend_type, network.backend_options).tables,
        own.key.subnet if own is not None else None,
        settled,
        frozenset(lease.key.subnet for lease in leases if lease.key.subnet is not None),
        MappingProxyType({
            lease.key.subnet: target
            for lease in leases
            if lease.key.subnet is not None and (target := target_of(lease.record))
        }),
        tuple(sorted(hosts - {""})),
        judges=settled and world.own_confirmed and not (view.doubtful or view.invalid),
    )  # fmt: skip


def target_of(record: LeaseRecord) -> str:
    """Return the target of a host's route, as its lease says; "" if it names none (flannel's leases do not)."""
    if record.backend_type not in CLOUDS or not isinstance(record.backend_data, RawData):
        return ""
    try:
        value = json.loads(record.backend_data.json)
    except (ValueError, RecursionError):
        return ""
    found = value.get(TARGET_FIELD) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def cloud_plan(
    wanted: CloudWanted,
    host: CloudHost,
    tables: tuple[CloudTable, ...],
    records: Records,
    *,
    was: IPv4Network | None = None,
) -> CloudPlan:
    """Plan the changes of the provider's tables. `was`: the subnet of our earlier routes, which may no longer be ours.

    A route of ours in a table that is chosen no more goes last, once the others stand. Only routes proven to be an
    overlay's are changed: the target is gone, a lease or a record in etcd names the target, or the route's name marks
    it.
    """
    ops: list[CloudOp] = []
    left: list[CloudOp] = []
    foreign: list[CloudRoute] = []
    stale: list[CloudRoute] = []
    unknown: list[CloudRoute] = []
    chosen = frozenset(chosen_tables(wanted, tables, records))
    for table in tables:
        if was is not None and was != wanted.subnet and wanted.settled:
            ops += [
                CloudOp(CloudVerb.DELETE, route, route)
                for route in table.routes
                if route.destination == was and route.target == host.target
            ]
        if table.id not in chosen:
            left += _left_in(table, wanted, host, records)
            continue
        if wanted.subnet is not None:
            at = [route for route in table.routes if route.destination == wanted.subnet]
            others = [one for one in at if one.target != host.target and not _is_ours(one, wanted, records)]
            foreign += others
            ops += [] if others else _own(CloudRoute(table.id, wanted.subnet, host.target), at)
        for route in table.routes:
            if route.destination != was and _is_stale(route, wanted):
                (stale if _is_ours(route, wanted, records) else unknown).append(route)
    return CloudPlan((*ops, *left), tuple(foreign), tuple(stale), tuple(unknown))


def chosen_tables(wanted: CloudWanted, tables: tuple[CloudTable, ...], records: Records) -> tuple[str, ...]:
    """Return the tables for our route: those of the config, else each that the packets of an overlay host take."""
    if wanted.tables:
        return wanted.tables
    used = {record.table for record in records.values()}
    return tuple(table.id for table in tables if table.own or table.id in used)


def _left_in(table: CloudTable, wanted: CloudWanted, host: CloudHost, records: Records) -> Iterator[CloudOp]:
    """Give the removal of our route from a table that is chosen no more, if our record says that we wrote it there."""
    record = records.get(wanted.subnet) if wanted.subnet is not None and wanted.settled else None
    if record is None or (record.target, record.node_id) != (host.target, wanted.node_id):
        return
    for route in table.routes:
        ours = route.destination == wanted.subnet and route.target == host.target
        if ours and table.id in record.written:
            yield CloudOp(CloudVerb.DELETE, route, route)


def _own(mine: CloudRoute, at: list[CloudRoute]) -> Iterator[CloudOp]:
    if not at:
        yield CloudOp(CloudVerb.CREATE, mine)
    elif all(route.target != mine.target or route.dead for route in at):
        yield CloudOp(CloudVerb.REPLACE, mine, at[0])


def _is_ours(route: CloudRoute, wanted: CloudWanted, records: Records) -> bool:
    """Report whether an overlay host made the route, by proof."""
    if not route.target and not route.dead:
        return False
    record = records.get(route.destination)
    return (
        route.dead
        or route.marked
        or route.target in wanted.targets.values()
        or (record is not None and record.target == route.target)
    )


def _is_stale(route: CloudRoute, wanted: CloudWanted) -> bool:
    """Report whether the route is of one host whose lease is gone."""
    to = route.destination
    return (
        wanted.judges
        and to != wanted.subnet
        and to.prefixlen == wanted.subnet_len
        and to.subnet_of(wanted.network)
        and not any(to.overlaps(lease) for lease in wanted.leased)
    )


BACKENDS: Final = MappingProxyType({name: CloudBackend(name) for name in (AWS, GCE)})
