"""The vxlan backend: flannel's device, neighbours, FDB and routes, planned for either family by the same code.

Per family one device: `flannel.<VNI>` over an IPv4 underlay, `flannel-v6.<VNI>` over an IPv6 one. With
DirectRouting a peer on the same L2 segment gets a plain route through its public address instead of a tunnel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from itertools import chain

from flanpy.backend.options import Reader
from flanpy.model.address import Family, IPAddress, IPNetwork, Mac
from flanpy.model.facts import Underlay
from flanpy.model.lease import Lease, LeaseRecord, VxlanData
from flanpy.model.network import NetworkConfig
from flanpy.model.objects import (
    Address,
    FdbEntry,
    KernelObject,
    LinkFeature,
    LinkSysctl,
    LinkUp,
    Neighbour,
    Route,
    VxlanLink,
)
from flanpy.model.world import World
from flanpy.plan.next_hop import RouteTable

DEFAULT_VNI = 1
DEFAULT_PORT = 8472
"""Linux's own default, not IANA's 4789: flannel leaves the port to the kernel."""

LOWEST_MTU = 138
"""What leaves IPv4's least MTU of 68 bytes (RFC 791) under the larger overhead."""

OVERHEAD = {Family.IPV4: 50, Family.IPV6: 70}
"""Outer IP + UDP + VXLAN + inner Ethernet header in bytes (RFC 7348): 20|40 + 8 + 8 + 14."""


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
    """Raises ConfigError that names the option, its value and what is allowed."""
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
class VxlanGround:
    """Implements `plan.desired.Ground`. `table` is None without DirectRouting: the host's routes matter not then."""

    fixed: tuple[KernelObject, ...] = field(compare=False)
    sides: tuple[_Side, ...]
    table: RouteTable | None

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        for side in self.sides:
            v4 = side.family is Family.IPV4
            subnet: IPNetwork | None = lease.key.subnet if v4 else lease.key.subnet6
            public = lease.record.public_ip if v4 else lease.record.public_ip6
            extra = lease.record.backend_data if v4 else lease.record.backend_data6
            if subnet is None or public is None or not isinstance(extra, VxlanData):
                continue
            direct = self.table.on_link(public) if self.table is not None else None
            if direct is not None:
                yield Route(subnet, direct.link, public)
            else:
                yield from side.tunnel(subnet, public, extra.mac)


class VxlanBackend:
    """Implements `backend.port.Backend`."""

    def validate(self, options: Mapping[str, object]) -> None:
        read_options(options)

    def links(self, world: World) -> frozenset[str]:
        if world.network is None:
            return frozenset()
        options = read_options(world.network.backend_options)
        return frozenset(_link_name(family, options.vni) for family in _families(world.network))

    def mtu(self, world: World) -> int:
        if world.network is None or world.facts.underlay is None:
            return 0
        options = read_options(world.network.backend_options)
        overhead = max(OVERHEAD[family] for family in _families(world.network))
        return (options.mtu or world.facts.underlay.mtu) - overhead

    def advertise(self, world: World) -> LeaseRecord | None:
        network, underlay, policy = world.network, world.facts.underlay, world.policy
        if network is None or underlay is None:
            return None
        options = read_options(network.backend_options)
        ip = (policy.public_ip or underlay.address) if network.network else None
        ip6 = (policy.public_ip6 or underlay.address6) if network.network6 else None
        if (network.network and ip is None) or (network.network6 and ip6 is None):
            return None
        return LeaseRecord(
            public_ip=ip,
            public_ip6=ip6,
            backend_type="vxlan",
            backend_data=VxlanData(vtep_mac(world, Family.IPV4, options.vni), options.vni) if ip else None,
            backend_data6=VxlanData(vtep_mac(world, Family.IPV6, options.vni), options.vni) if ip6 else None,
            node_id=policy.node_id,
        )

    def ground(self, world: World) -> VxlanGround | None:
        underlay = world.facts.underlay
        if world.network is None or world.own is None or underlay is None:
            return None
        options = read_options(world.network.backend_options)
        sides = tuple(_Side(family, _link_name(family, options.vni)) for family in _families(world.network))
        devices = [_device(world, options, side, world.own, underlay) for side in sides]
        if not all(devices):
            return None
        return VxlanGround(
            fixed=tuple(chain.from_iterable(devices)),
            sides=sides,
            table=RouteTable.of(world.facts.routes) if options.direct_routing else None,
        )


def vtep_mac(world: World, family: Family, vni: int) -> Mac:
    """The MAC that our lease advertises already, else one derived from node id, VNI and family.

    Deterministic, so that a device made anew needs no new publication; and the advertised one first, so that a host
    taken over from flannel keeps the MAC that all peers have programmed. Locally administered, unicast (IEEE 802c).
    """
    if world.own is not None:
        record = world.own.record
        advertised = record.backend_data if family is Family.IPV4 else record.backend_data6
        if isinstance(advertised, VxlanData) and advertised.vni in (None, vni):
            return advertised.mac
    digest = hashlib.sha256(f"{world.policy.node_id}/{vni}/{family.name}".encode()).digest()
    return Mac(bytes([digest[0] & 0xFC | 0x02]) + digest[1:6])


def _families(network: NetworkConfig) -> tuple[Family, ...]:
    wanted = ((Family.IPV4, network.network), (Family.IPV6, network.network6))
    return tuple(family for family, overlay in wanted if overlay is not None)


def _link_name(family: Family, vni: int) -> str:
    return f"flannel.{vni}" if family is Family.IPV4 else f"flannel-v6.{vni}"


def _device(
    world: World, options: VxlanOptions, side: _Side, own: Lease, underlay: Underlay
) -> tuple[KernelObject, ...]:
    """The device of one family and what belongs to it; nothing while our subnet or address of that family lacks."""
    v4 = side.family is Family.IPV4
    subnet = own.key.subnet if v4 else own.key.subnet6
    local = underlay.address if v4 else underlay.address6
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
    # IPv4: a reply may come back over another path than we would choose; loose mode still drops martians.
    sysctl = ("rp_filter", "2") if v4 else ("accept_ra", "0")
    return (
        link,
        LinkFeature(side.link, "tx-checksum-ip-generic", enabled=world.policy.tx_checksum),
        LinkSysctl(side.family, side.link, *sysctl),
        # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
        Address(side.link, ip_interface((subnet.network_address, side.family.bits))),
        LinkUp(side.link),
    )
