"""The wireguard backend: flannel's devices and peers, and one route to each peer, planned for either family alike.

Per family one device (flannel's mode `separate`): `flannel-wg` for the overlay's IPv4, `flannel-wg-v6` for its IPv6; or
`flannel-wg` for both (modes `auto`, `ipv4`, `ipv6`, by the family of the wrapped packets). A peer is known by its
public key; the kernel drops what comes from it with another source than its subnet, and sends nothing else to it.
flannel has one route to the whole network; here each peer has its own, so that backends mix while hosts move.
No secret comes by here: the policy has our public key, a pre-shared key is its digest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import ip_interface
from itertools import chain

from flanpy.backend.advert import public_addresses
from flanpy.backend.options import Reader
from flanpy.backend.way import WayKind, Ways, one_way
from flanpy.errors import ConfigError
from flanpy.model.address import Family, IPAddress
from flanpy.model.lease import Lease, LeaseRecord, WireguardData
from flanpy.model.network.network import NetworkConfig
from flanpy.model.objects import Address, KernelObject, LinkUp, Route
from flanpy.model.quoting import quoted
from flanpy.model.wireguard import LINKS, OVERHEAD, WgDevice, WgPeer, WireguardLink, digest, key_of
from flanpy.model.world import World
from flanpy.plan.host_settings import link_settings
from flanpy.plan.ipv6_room import LEAST_MTU, Narrow, carried, narrow

DEFAULT_PORTS = {Family.IPV4: 51820, Family.IPV6: 51821}
LOWEST_MTU = 576 + OVERHEAD
"""The least MTU that leaves containers the 576 bytes that every IPv4 host takes (RFC 791)."""

LOWEST_MTU6 = LEAST_MTU + OVERHEAD
_LONGEST_KEEPALIVE = 65_535

GREETING_S = 25
"""Keepalive of a peer whose session is to begin before its packets: the kernel sends the first one at once."""


class Mode(Enum):
    """flannel's modes; the value is its word."""

    SEPARATE = "separate"
    AUTO = "auto"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


_OUTER = {Mode.IPV4: Family.IPV4, Mode.IPV6: Family.IPV6}


@dataclass(frozen=True, slots=True)
class WireguardOptions:
    """The Backend object of the network config. `mtu` is that of the *outgoing* packets; 0: the underlay's.

    `psk` is the digest of the pre-shared key that all hosts have, `keepalive` is in seconds.
    """

    ports: Mapping[Family, int]
    mtu: int = 0
    psk: str = ""
    keepalive: int = 0
    mode: Mode = Mode.SEPARATE

    @property
    def links(self) -> Mapping[Family, str]:
        """Return the device of each family."""
        return LINKS if self.mode is Mode.SEPARATE else dict.fromkeys(Family, LINKS[Family.IPV4])

    def port(self, family: Family) -> int:
        """Return the port of the family's device."""
        return self.ports[family if self.mode is Mode.SEPARATE else Family.IPV4]


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
    return WireguardOptions(
        ports=ports,
        mtu=reader.integer("MTU", 0, low=LOWEST_MTU, high=65535, off=0),
        psk=digest(shared_key(raw)),
        keepalive=reader.integer("PersistentKeepaliveInterval", 0, low=0, high=_LONGEST_KEEPALIVE),
        mode=_mode(raw.get("mode", Mode.SEPARATE.value)),
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


def _mode(given: object) -> Mode:
    try:
        return Mode(given)
    except ValueError:
        words = ", ".join(mode.value for mode in Mode)
        raise ConfigError(f"Backend.Mode of wireguard is {quoted(given)}: give one of {words}") from None


@dataclass(frozen=True, slots=True)
class WireguardPeerPlanner:
    """Implements `plan.desired.PeerPlanner`. `own` is our public key: a lease with it is a copy of ours.

    `greets`: peers that announced their key know ours as well, so that sessions may begin before packets come.
    """

    fixed: tuple[KernelObject, ...] = field(compare=False)
    families: tuple[Family, ...]
    options: WireguardOptions
    own: str
    greets: bool = False

    def peer(self, lease: Lease) -> Iterator[KernelObject]:
        for families in self._devices:
            said = _data(lease, families)
            known = self._known(lease, families, said) if said is not None else None
            if known is not None:
                yield known
                yield from (Route(subnet, known.link) for subnet in known.allowed)

    def heard(self, lease: Lease) -> Iterator[WgPeer]:
        """Yield what lets a peer send to us by WireGuard, though packets to it take another path."""
        key = lease.record.announced_key
        if not key or _data(lease, self.families) is not None:
            return
        for families in self._devices:
            known = self._known(lease, families, WireguardData(key))
            if known is not None and self.greets and self.own < key and not known.keepalive:
                known = replace(known, keepalive=GREETING_S)
            if known is not None:
                yield known

    @property
    def _devices(self) -> Iterable[tuple[Family, ...]]:
        return [(one,) for one in self.families] if self.options.mode is Mode.SEPARATE else [self.families]

    def _known(self, lease: Lease, families: tuple[Family, ...], said: WireguardData) -> WgPeer | None:
        """Return the peer on the device of these families: one peer, whatever it has of them."""
        subnets = tuple(subnet for family in families if (subnet := lease.key.of(family)) is not None)
        # flannel writes the data of one family where a peer has no address of the other
        public = self._endpoint(lease, families)
        if not subnets or public is None or said.public_key == self.own:
            return None
        # With one device flannel writes ListenPortV6 for a port that is not open: all hosts have ListenPort.
        port = said.port if self.options.mode is Mode.SEPARATE else None
        return WgPeer(
            self.options.links[families[0]],
            said.public_key,
            public,
            port or self.options.port(families[0]),
            subnets,
            self.options.psk,
            self.options.keepalive,
        )

    def _endpoint(self, lease: Lease, families: tuple[Family, ...]) -> IPAddress | None:
        """Return the address that wrapped packets go to; in mode auto that of the first family that the peer has."""
        outer = _OUTER.get(self.options.mode)
        found = [lease.record.public(family) for family in ((outer,) if outer else families)]
        return next((public for public in found if public is not None), None)

    def unreached(self, lease: Lease) -> bool:
        """Report whether nothing can be sent to the lease: it has our own key, or no address of the mode's family."""
        said = [_data(lease, (family,)) for family in self.families]
        if any(one is not None and one.public_key == self.own for one in said):
            return True
        return self.options.mode is not Mode.SEPARATE and self._endpoint(lease, self.families) is None


def _data(lease: Lease, families: tuple[Family, ...]) -> WireguardData | None:
    said = (lease.record.data(family) for family in families)
    return next((one for one in said if isinstance(one, WireguardData)), None)


class WireguardBackend:
    """Implements `backend.port.Backend`."""

    cure = "that host has this host's key: move its key file away and restart it, so that it makes one of its own"

    def validate(self, options: Mapping[str, object]) -> None:
        read_options(options)

    def validate_families(self, network: NetworkConfig) -> None:
        """Check the options further against the network's families. Raises ConfigError."""
        options = read_options(network.backend_options)
        if network.network6 is not None and 0 < options.mtu < LOWEST_MTU6:
            raise ConfigError(
                f"Backend.MTU of wireguard is {options.mtu}, but IPv6 needs {LEAST_MTU} bytes behind a header of"
                f" {OVERHEAD}: at least {LOWEST_MTU6}, or leave it out to follow the underlay"
            )
        outer = _OUTER.get(options.mode)
        if outer is not None and outer not in network.families:
            raise ConfigError(
                f"Backend.Mode of wireguard is {options.mode.value!r}, but the network has no range of that family, and"
                " its hosts advertise no address of it: give another, or leave it out"
            )

    def links(self, world: World) -> frozenset[str]:
        if world.network is None:
            return frozenset()
        links = read_options(world.network.backend_options).links
        return frozenset(links[family] for family in world.network.families)

    def mtu(self, world: World) -> int:
        if world.network is None or world.facts.underlay is None:
            return 0
        options = read_options(world.network.backend_options)
        return (options.mtu or world.facts.underlay.mtu) - OVERHEAD

    def advertise(self, world: World) -> LeaseRecord | None:
        """Return the record of this host; None as long as there is no usable key."""
        public, key = public_addresses(world), world.policy.advertised_key
        if public is None or world.network is None or not key:
            return None
        options = read_options(world.network.backend_options)
        return LeaseRecord(
            public_ip=public.ip,
            public_ip6=public.ip6,
            backend_type="wireguard",
            backend_data=WireguardData(key, options.port(Family.IPV4)) if public.ip else None,
            backend_data6=WireguardData(key, options.port(Family.IPV6)) if world.network.network6 else None,
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
        fixed = {obj.key: obj for obj in chain.from_iterable(devices)}  # one device is planned once
        greets = world.former is not None and world.former.greets
        return WireguardPeerPlanner(tuple(fixed.values()), families, options, key, greets)

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
    subnet, link = own.key.of(family), options.links[family]
    if subnet is None:
        return ()
    return (
        WireguardLink(link, (options.mtu or mtu) - OVERHEAD),
        WgDevice(link, world.policy.wireguard_key, options.port(family)),
        *link_settings(world, family, link),
        # A /32: the address only gives host-to-container traffic a source, no subnet route must come with it.
        Address(link, ip_interface((subnet.network_address, family.bits))),
        LinkUp(link),
    )
