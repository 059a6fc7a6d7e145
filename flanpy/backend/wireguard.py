"""The wireguard backend: flannel's devices and peers, and one route to each peer, planned for either family alike.

Per family one device (flannel's mode `separate`): `flannel-wg` for the overlay's IPv4, `flannel-wg-v6` for its IPv6. A
peer is known by its public key; the kernel drops what comes from it with another source than its subnet, and sends
nothing else to it. flannel has one route to the whole network; here each peer has its own, so that backends mix while
hosts move.
No secret comes by here: the policy has our public key, a pre-shared key is its digest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface
from itertools import chain

from flanpy.backend.advert import public_addresses
from flanpy.backend.options import Reader
from flanpy.backend.way import WayKind, Ways, one_way
from flanpy.errors import ConfigError
from flanpy.model.address import Family
from flanpy.model.lease import Lease, LeaseRecord, WireguardData
from flanpy.model.objects import Address, KernelObject, LinkUp, Route
from flanpy.model.quoting import quoted
from flanpy.model.wireguard import LINKS, OVERHEAD, WgDevice, WgPeer, WireguardLink, digest, key_of
from flanpy.model.world import World
from flanpy.plan.host_settings import link_settings
from flanpy.plan.ipv6_room import Narrow, carried, narrow

DEFAULT_PORTS = {Family.IPV4: 51820, Family.IPV6: 51821}
LOWEST_MTU = 576 + OVERHEAD
"""The least MTU that leaves containers the 576 bytes that every IPv4 host takes (RFC 791)."""

_MODES = ("separate", "auto", "ipv4", "ipv6")
_LONGEST_KEEPALIVE = 65_535


@dataclass(frozen=True, slots=True)
class WireguardOptions:
    """The Backend object of the network config. `mtu` is that of the *outgoing* packets; 0: the underlay's.

    `psk` is the digest of the pre-shared key that all hosts have, `keepalive` is in seconds.
    """

    ports: Mapping[Family, int]
    mtu: int = 0
    psk: str = ""
    keepalive: int = 0


def read_options(raw: Mapping[str, object]) -> WireguardOptions:
    """Read the options. Raises ConfigError that names the option, its value unless secret, and what is allowed."""
    reader = Reader("wireguard", raw)
    names = {Family.IPV4: "ListenPort", Family.IPV6: "ListenPortV6"}
    ports = {
        family: reader.integer(name, DEFAULT_PORTS[family], low=1, high=65535)
        for family, name in names.items()
    }
    if ports[Family.IPV4] == ports[Family.IPV6]:
        raise ConfigError(
            f"Backend.ListenPortV6 of wireguard is {ports[Family.IPV6]}, as ListenPort: give another"
        )
    _check_mode(raw.get("mode", "separate"))
    return WireguardOptions(
        ports=ports,
        mtu=reader.integer("MTU", 0, low=LOWEST_MTU, high=65535, off=0),
        psk=digest(shared_key(raw)),
        keepalive=reader.integer("PersistentKeepaliveInterval", 0, low=0, high=_LONGEST_KEEPALIVE),
    )


def shared_key(raw: Mapping[str, object]) -> bytes:
    """Return the pre-shared key that the network config gives all hosts, zeros for none. Raises ConfigError."""
    given = raw.get("psk", "")
    if given == "":
        return bytes(32)
    key = key_of(given) if isinstance(given, str) else None
    if key is None:  # whatever it is, it was meant as a secret: it is not shown
        raise ConfigError(
            "Backend.PSK of wireguard is no key: give 32 bytes in base64, as 'wg genpsk' prints them"
        )
    return key


def _check_mode(mode: object) -> None:
    if mode not in _MODES:
        raise ConfigError(f"Backend.Mode of wireguard is {quoted(mode)}: give one of {', '.join(_MODES)}")
    if mode != "separate":
        raise ConfigError(
            f"Backend.Mode of wireguard is {quoted(mode)}, flannel's mode of one device for both families, which flanpy"
            " does not have: give separate, or leave it out"
        )


@dataclass(frozen=True, slots=True)
class WireguardPeerPlanner:
    """Implements `plan.desired.PeerPlanner`. `own` is our public key: a lease with it is a copy of ours."""

    fixed: tuple[KernelObject, ...] = field(compare=False)
    families: tuple[Family, ...]
    options: WireguardOptions
    own: str

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        for family in self.families:
            subnet, public = lease.key.of(family), lease.record.public(family)
            # flannel writes the data of one family where a peer has no address of the other
            said = lease.record.data(family)
            if subnet is None or public is None or not isinstance(said, WireguardData):
                continue
            if said.public_key == self.own:
                continue
            yield WgPeer(
                LINKS[family],
                said.public_key,
                public,
                said.port or self.options.ports[family],
                (subnet,),
                self.options.psk,
                self.options.keepalive,
            )
            yield Route(subnet, LINKS[family])

    def unreached(self, lease: Lease) -> bool:
        """Report whether the lease has our own key, to which nothing can be sent."""
        said = [lease.record.data(family) for family in self.families]
        return any(isinstance(one, WireguardData) and one.public_key == self.own for one in said)


class WireguardBackend:
    """Implements `backend.port.Backend`."""

    cure = "that host has this host's key: move its key file away and restart it, so that it makes one of its own"

    def validate(self, options: Mapping[str, object]) -> None:
        read_options(options)

    def links(self, world: World) -> frozenset[str]:
        families = world.network.families if world.network is not None else ()
        return frozenset(LINKS[family] for family in families)

    def mtu(self, world: World) -> int:
        if world.network is None or world.facts.underlay is None:
            return 0
        options = read_options(world.network.backend_options)
        return (options.mtu or world.facts.underlay.mtu) - OVERHEAD

    def advertise(self, world: World) -> LeaseRecord | None:
        """Return the record of this host; None as long as there is no usable key."""
        public, key = public_addresses(world), world.policy.wireguard_key
        if public is None or world.network is None or not key:
            return None
        ports = read_options(world.network.backend_options).ports
        return LeaseRecord(
            public_ip=public.ip,
            public_ip6=public.ip6,
            backend_type="wireguard",
            backend_data=WireguardData(key, ports[Family.IPV4]) if public.ip else None,
            backend_data6=WireguardData(key, ports[Family.IPV6]) if world.network.network6 else None,
            node_id=world.policy.node_id,
            host_name=world.policy.host_name,
        )

    def planner(self, world: World) -> WireguardPeerPlanner | None:
        underlay, key = world.facts.underlay, world.policy.wireguard_key
        if world.network is None or world.own is None or underlay is None or not key:
            return None
        options = read_options(world.network.backend_options)
        families = carried(world, OVERHEAD, options.mtu)
        devices = [_device(world, options, family, (world.own, underlay.mtu)) for family in families]
        if not devices or not all(devices):
            return None
        return WireguardPeerPlanner(tuple(chain.from_iterable(devices)), families, options, key)

    def narrow(self, world: World) -> Narrow | None:
        if world.network is None:
            return None
        return narrow(world, OVERHEAD, read_options(world.network.backend_options).mtu)

    def ways(self, world: World) -> Ways:
        return one_way(WayKind.TUNNEL, "encrypted")


def _device(
    world: World, options: WireguardOptions, family: Family, here: tuple[Lease, int]
) -> tuple[KernelObject, ...]:
    """Return the device of one family and its objects; none while our subnet of that family is missing."""
    own, mtu = here
    subnet, link = own.key.of(family), LINKS[family]
    if subnet is None:
        return ()
    return (
        WireguardLink(link, (options.mtu or mtu) - OVERHEAD),
        WgDevice(link, world.policy.wireguard_key, options.ports[family]),
        *link_settings(world, family, link),
        # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
        Address(link, ip_interface((subnet.network_address, family.bits))),
        LinkUp(link),
    )
