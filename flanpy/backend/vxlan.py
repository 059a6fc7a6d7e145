"""The vxlan backend: flannel's device, neighbours, FDB and routes, planned for either family by the same code.

Per family one device: `flannel.<VNI>` over an IPv4 underlay, `flannel-v6.<VNI>` over an IPv6 one. With
DirectRouting a peer on the same L2 segment gets a plain route through its public address instead of a tunnel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface

from flanpy.backend.options import Reader
from flanpy.model.address import Family, IPAddress, IPNetwork, Mac
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
from flanpy.plan.next_hop import on_link
from flanpy.plan.ops import Objects

DEFAULT_VNI = 1
DEFAULT_PORT = 8472
"""Linux's own default, not IANA's 4789: flannel leaves the port to the kernel."""

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
        mtu=reader.integer("MTU", 0, low=0, high=65535),
        gbp=reader.boolean("GBP"),
        learning=reader.boolean("Learning"),
        direct_routing=reader.boolean("DirectRouting"),
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """One family of the world: everything its device and peers are planned from."""

    family: Family
    link: str
    mac: Mac
    own: IPNetwork
    local: IPAddress


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

    def plan(self, world: World, peers: Sequence[Lease]) -> Objects | None:
        if world.network is None or world.own is None or world.facts.underlay is None:
            return None
        options = read_options(world.network.backend_options)
        sides = [_side(world, family, options.vni) for family in _families(world.network)]
        desired: dict[tuple[str | int, ...], KernelObject] = {}
        for side in sides:
            if side is None:
                return None
            for obj in (*_device(world, options, side), *_peers(world, options, side, peers)):
                desired[obj.key] = obj
        return desired


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


def _side(world: World, family: Family, vni: int) -> _Side | None:
    underlay, own = world.facts.underlay, world.own
    assert underlay is not None
    assert own is not None
    v4 = family is Family.IPV4
    subnet = own.key.subnet if v4 else own.key.subnet6
    local = underlay.address if v4 else underlay.address6
    if subnet is None or local is None:
        return None
    return _Side(family, _link_name(family, vni), vtep_mac(world, family, vni), subnet, local)


def _device(world: World, options: VxlanOptions, side: _Side) -> Iterator[KernelObject]:
    underlay = world.facts.underlay
    assert underlay is not None
    yield VxlanLink(
        name=side.link,
        vni=options.vni,
        port=options.port,
        parent=underlay.link,
        local=side.local,
        mac=side.mac,
        mtu=(options.mtu or underlay.mtu) - OVERHEAD[side.family],
        learning=options.learning,
        gbp=options.gbp,
    )
    yield LinkFeature(side.link, "tx-checksum-ip-generic", enabled=world.policy.tx_checksum)
    if side.family is Family.IPV4:
        # A reply may come back over another path than we would choose; loose mode still drops martians.
        yield LinkSysctl(Family.IPV4, side.link, "rp_filter", "2")
    else:
        yield LinkSysctl(Family.IPV6, side.link, "accept_ra", "0")
    # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
    yield Address(side.link, ip_interface((side.own.network_address, side.family.bits)))
    yield LinkUp(side.link)


def _peers(
    world: World, options: VxlanOptions, side: _Side, peers: Sequence[Lease]
) -> Iterator[KernelObject]:
    v4 = side.family is Family.IPV4
    for peer in peers:
        subnet: IPNetwork | None = peer.key.subnet if v4 else peer.key.subnet6
        public = peer.record.public_ip if v4 else peer.record.public_ip6
        extra = peer.record.backend_data if v4 else peer.record.backend_data6
        if subnet is None or public is None or not isinstance(extra, VxlanData):
            continue
        direct = on_link(public, world.facts.routes) if options.direct_routing else None
        if direct is not None:
            yield Route(subnet, direct.link, public)
            continue
        vtep = subnet.network_address
        yield Neighbour(side.link, vtep, extra.mac)
        yield FdbEntry(side.link, extra.mac, public)
        yield Route(subnet, side.link, vtep, onlink=True)
