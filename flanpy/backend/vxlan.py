"""The vxlan backend: flannel's device, neighbours, FDB and routes, planned for either family by the same code.

Per family one device: `flannel.<VNI>` over an IPv4 underlay, `flannel-v6.<VNI>` over an IPv6 one. With
DirectRouting a peer on the same L2 segment gets a plain route through its public address instead of a tunnel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from itertools import chain

from flanpy.backend.advert import public_addresses
from flanpy.backend.direct import DirectRoutes
from flanpy.backend.options import Reader
from flanpy.backend.way import Way, WayKind, Ways, joined, one_way
from flanpy.errors import ConfigError
from flanpy.model.address import Family, IPAddress, IPNetwork, Mac
from flanpy.model.facts import Underlay
from flanpy.model.lease import Lease, LeaseRecord, VxlanData
from flanpy.model.objects import (
    Address,
    FdbEntry,
    KernelObject,
    LinkFeature,
    LinkUp,
    Neighbour,
    Route,
    VxlanLink,
)
from flanpy.model.world import World
from flanpy.plan.host_settings import link_settings
from flanpy.plan.ipv6_room import LEAST_MTU, Narrow, carried, narrow
from flanpy.plan.offload import checksum_offload

DEFAULT_VNI = 1
DEFAULT_PORT = 8472
"""Linux's own default, not IANA's 4789: flannel leaves the port to the kernel."""

OVERHEAD = {Family.IPV4: 50, Family.IPV6: 70}
"""Outer IP + UDP + VXLAN + inner Ethernet header in bytes (RFC 7348): 20|40 + 8 + 8 + 14."""

LOWEST_MTU = 576 + OVERHEAD[Family.IPV4]
"""What leaves containers the 576 bytes that every IPv4 host takes (RFC 791); with less, protocols fail one by one."""

LOWEST_MTU6 = LEAST_MTU + OVERHEAD[Family.IPV6]
"""The least MTU that leaves them IPv6's least, below which the kernel switches IPv6 off on a link."""


@dataclass(frozen=True, slots=True)
class VxlanOptions:
    """The Backend object of the network config. `mtu` is that of the *outgoing* packets; 0: the underlay's."""

    vni: int = DEFAULT_VNI
    port: int = DEFAULT_PORT
    mtu: int = 0
    gbp: bool = False
    learning: bool = False
    direct_routing: bool = False


def read_options(raw: Mapping[str, object]) -> VxlanOptions:
    """Read the options. Raises ConfigError that names the option, its value and the allowed range."""
    reader = Reader("vxlan", raw)
    return VxlanOptions(
        vni=reader.integer("VNI", DEFAULT_VNI, low=1, high=2**24 - 1),
        port=reader.integer("Port", 0, low=0, high=65535) or DEFAULT_PORT,
        mtu=reader.integer("MTU", 0, low=LOWEST_MTU, high=65535, off=0),
        gbp=reader.boolean("GBP"),
        learning=reader.boolean("Learning"),
        direct_routing=reader.boolean("DirectRouting"),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One family of the overlay, and our device in it."""

    family: Family
    link: str

    def tunnel(self, subnet: IPNetwork, public: IPAddress, mac: Mac) -> tuple[KernelObject, ...]:
        vtep = subnet.network_address
        return (
            Neighbour(self.link, vtep, mac),
            FdbEntry(self.link, mac, public),
            Route(subnet, self.link, vtep, onlink=True),
        )


@dataclass(frozen=True, slots=True)
class VxlanPeerPlanner:
    """Implements `plan.desired.PeerPlanner`. `direct` is None without DirectRouting: host routes are then unused."""

    fixed: tuple[KernelObject, ...] = field(compare=False)
    sides: tuple[_Side, ...]
    direct: DirectRoutes | None

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        for side in self.sides:
            family = side.family
            subnet, public = lease.key.of(family), lease.record.public(family)
            extra = lease.record.data(family)
            if subnet is None or public is None or not isinstance(extra, VxlanData):
                continue
            direct = self.direct.route(subnet, public) if self.direct is not None else None
            if direct is not None:
                yield direct
            else:
                yield from side.tunnel(subnet, public, extra.mac)

    def unreached(self, lease: Lease) -> bool:
        """Report no peer as unreached: the tunnel needs only a route to the peer, which may come at any moment."""
        return False


class VxlanBackend:
    """Implements `backend.port.Backend`."""

    cure = ""

    def validate(self, options: Mapping[str, object]) -> None:
        read_options(options)

    def validate_ipv6(self, options: Mapping[str, object]) -> None:
        """Check the options further in a network that has IPv6. Raises ConfigError if the MTU is too small."""
        mtu = read_options(options).mtu
        if 0 < mtu < LOWEST_MTU6:
            raise ConfigError(
                f"MTU of the vxlan backend is {mtu}, but IPv6 needs 1280 bytes behind a header of"
                f" {OVERHEAD[Family.IPV6]}: at least {LOWEST_MTU6}, or leave it out to follow the underlay"
            )

    def links(self, world: World) -> frozenset[str]:
        if world.network is None:
            return frozenset()
        options = read_options(world.network.backend_options)
        return frozenset(_link_name(family, options.vni) for family in world.network.families)

    def mtu(self, world: World) -> int:
        if world.network is None or world.facts.underlay is None:
            return 0
        options = read_options(world.network.backend_options)
        overhead = max(OVERHEAD[family] for family in _carried(world, options) or world.network.families)
        return (options.mtu or world.facts.underlay.mtu) - overhead

    def advertise(self, world: World) -> LeaseRecord | None:
        public = public_addresses(world)
        if public is None or world.network is None:
            return None
        options = read_options(world.network.backend_options)
        vni = options.vni
        return LeaseRecord(
            public_ip=public.ip,
            public_ip6=public.ip6,
            backend_type="vxlan",
            backend_data=VxlanData(vtep_mac(world, Family.IPV4, vni), vni) if public.ip else None,
            # also without an address: flannel drops both families of a lease that lacks one's data
            backend_data6=VxlanData(vtep_mac(world, Family.IPV6, vni), vni)
            if world.network.network6
            else None,
            node_id=world.policy.node_id,
            host_name=world.policy.host_name,
        )

    def planner(self, world: World) -> VxlanPeerPlanner | None:
        underlay = world.facts.underlay
        if world.network is None or world.own is None or underlay is None:
            return None
        options = read_options(world.network.backend_options)
        sides = tuple(_Side(family, _link_name(family, options.vni)) for family in _carried(world, options))
        devices = [_device(world, options, side, world.own, underlay) for side in sides]
        if not devices or not all(devices):
            return None
        return VxlanPeerPlanner(
            fixed=tuple(chain.from_iterable(devices)),
            sides=sides,
            direct=DirectRoutes.of(world) if options.direct_routing else None,
        )

    def narrow(self, world: World) -> Narrow | None:
        if world.network is None:
            return None
        options = read_options(world.network.backend_options)
        return narrow(world, OVERHEAD[Family.IPV6], options.mtu)

    def ways(self, world: World) -> Ways:
        network = world.network
        if network is None or not read_options(network.backend_options).direct_routing:
            return one_way(WayKind.TUNNEL)
        direct, families = DirectRoutes.of(world), network.families
        return lambda lease: _way(direct, families, lease)


def _carried(world: World, options: VxlanOptions) -> tuple[Family, ...]:
    return carried(world, OVERHEAD[Family.IPV6], options.mtu)


def vtep_mac(world: World, family: Family, vni: int) -> Mac:
    """Return the MAC that our lease advertises already, else one derived from node id, VNI and family.

    It is deterministic, so that a recreated device needs no new publication. The advertised one comes first, so that
    a host taken over from flannel keeps the MAC that all peers have programmed.
    """
    if world.own is not None:
        record = world.own.record
        advertised = record.data(family)
        if isinstance(advertised, VxlanData) and advertised.vni in (None, vni):
            return advertised.mac
    return derived_mac(world.policy.node_id, vni, family)


def derived_mac(identity: str, vni: int, family: Family) -> Mac:
    """Return the MAC that a host of this identity takes where none is advertised yet."""
    return Mac.derived(f"{identity}/{vni}/{family.name}")


def _way(direct: DirectRoutes, families: Iterable[Family], lease: Lease) -> Way:
    publics = [public for family in families if (public := lease.record.public(family)) is not None]
    return joined(
        (WayKind.TUNNEL if direct.table.on_link(public) is None else WayKind.DIRECT, direct.explain(public))
        for public in publics
    )


def _link_name(family: Family, vni: int) -> str:
    return f"flannel.{vni}" if family is Family.IPV4 else f"flannel-v6.{vni}"


def _device(
    world: World, options: VxlanOptions, side: _Side, own: Lease, underlay: Underlay
) -> tuple[KernelObject, ...]:
    """Return the device of one family and its objects; none while our subnet or address of that family is missing."""
    subnet, local = own.key.of(side.family), underlay.local(side.family)
    if subnet is None or local is None:
        return ()
    link = VxlanLink(
        name=side.link,
        vni=options.vni,
        port=options.port,
        parent=underlay.link,
        local=local,
        mac=vtep_mac(world, side.family, options.vni),
        mtu=(options.mtu or underlay.mtu) - OVERHEAD[side.family],
        learning=options.learning,
        gbp=options.gbp,
    )
    return (
        link,
        LinkFeature(side.link, "tx-checksum-ip-generic", enabled=checksum_offload(world).on),
        *link_settings(world, side.family, side.link),
        # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
        Address(side.link, ip_interface((subnet.network_address, side.family.bits))),
        LinkUp(side.link),
    )
