"""Kernel objects that can be wanted: links, addresses, tunnels, neighbours, FDB entries, routes, sysctls, filter rules.

Each is a frozen value with a `key` (its identity: at most one object per key exists in the
kernel) and a `phase` (its place in the order of puts). A key is a tuple of primitives, so that
comparing tens of thousands of them stays cheap.

Why a VXLAN peer is three objects. The *route* sends the peer's subnet to the peer's VTEP address, the
*neighbour* turns that address into the VTEP's MAC (the job of ARP), and the *FDB entry* turns the MAC
into the peer's underlay address. The kernel asks for them in the order route, neighbour, FDB, so they
are put in the opposite order: a route that stands first would make the kernel ARP into the void.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from flanpy.model.address import Family, IPAddress, IPInterface, IPNetwork, Mac
from flanpy.model.ipip import IpipLink
from flanpy.model.lease import SubnetKey
from flanpy.model.packet_filter import FilterChain, FilterJump, FilterMember
from flanpy.model.put_order import LINK_ALIAS, PutOrder
from flanpy.model.wireguard import WgDevice, WgPeer, WireguardLink

Key = tuple[str | int, ...]

ROUTE_PROTO = 70
"""Our own routing protocol number (rtnetlink(7) `rtm_protocol`; not taken in iproute2's rt_protos)."""

MAIN_TABLE = 254
"""RT_TABLE_MAIN of rtnetlink(7)."""


@dataclass(frozen=True, slots=True)
class VxlanLink:
    """A VXLAN device (RFC 7348; ip-link(8) type vxlan).

    `parent` is the *name* of the underlay link, `local` always an address of this host.
    `mac` is given at creation, so `addr_assign_type` is 3 (set) and udev leaves it alone.
    """

    name: str
    vni: int
    port: int
    parent: str
    local: IPAddress
    mac: Mac
    mtu: int
    learning: bool = False
    gbp: bool = False
    alias: str = LINK_ALIAS

    phase = PutOrder.LINK

    @property
    def key(self) -> Key:
        return ("link", self.name)


@dataclass(frozen=True, slots=True)
class TunLink:
    """A persistent TUN device (kernel networking/tuntap.rst): it outlives whoever has its queues open.

    flannel's own is not persistent and goes with flanneld. `multi_queue` cannot be changed later.
    """

    name: str
    mtu: int
    multi_queue: bool = True
    alias: str = LINK_ALIAS

    phase = PutOrder.LINK

    @property
    def key(self) -> Key:
        return ("link", self.name)


@dataclass(frozen=True, slots=True)
class OtherLink:
    """A link of a kind that we never make, seen under a name that we want."""

    name: str
    kind: str
    alias: str = ""

    phase = PutOrder.LINK

    @property
    def key(self) -> Key:
        return ("link", self.name)


OwnLink = VxlanLink | TunLink | IpipLink | WireguardLink
"""Links of the kinds that we make."""

Link = OwnLink | OtherLink


@dataclass(frozen=True, slots=True)
class LinkFeature:
    """An offload feature of a link, as `ethtool -k` names it (`tx-checksum-ip-generic`)."""

    link: str
    feature: str
    enabled: bool

    phase = PutOrder.LINK_SETTING

    @property
    def key(self) -> Key:
        return ("feature", self.link, self.feature)


@dataclass(frozen=True, slots=True)
class LinkSysctl:
    """A per-link sysctl: `net.<family>.conf.<link>.<name>`, kernel ip-sysctl.rst."""

    family: Family
    link: str
    name: str
    value: str

    phase = PutOrder.LINK_SETTING

    @property
    def key(self) -> Key:
        return ("linksysctl", self.link, int(self.family), self.name)


@dataclass(frozen=True, slots=True)
class BridgePort:
    """The membership of a link of ours in a bridge, by the bridge's name."""

    link: str
    bridge: str

    phase = PutOrder.LINK_SETTING

    @property
    def key(self) -> Key:
        return ("port", self.link)


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a link of ours."""

    link: str
    interface: IPInterface

    phase = PutOrder.ADDRESS

    @property
    def key(self) -> Key:
        return (
            "address",
            self.link,
            int(self.interface.ip),
            self.interface.network.prefixlen,
            self.interface.version,
        )


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The state of a link that is administratively up (IFF_UP)."""

    link: str

    phase = PutOrder.LINK_UP

    @property
    def key(self) -> Key:
        return ("up", self.link)


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """This host's end of the UDP tunnel, which carries packets between the TUN device `link` and the underlay.

    Datagrams leave from `local`:`port` on the link called `underlay` and arrive there; `own` is this host's subnet,
    `mtu` the largest inner packet in bytes. `fast`: with the in-kernel plane before the one in user space.
    `quiet`: that plane accepts the packets of fast peers, and sends them none yet.
    """

    link: str
    underlay: str
    local: IPv4Address
    port: int
    mtu: int
    own: IPv4Network
    fast: bool = False
    quiet: bool = False

    phase = PutOrder.TUNNEL

    @property
    def key(self) -> Key:
        return ("tunnel", self.link)


@dataclass(frozen=True, slots=True)
class TunnelPeer:
    """A peer in the table of the UDP tunnel: `subnet` is reached through `peer`, and only `peer` may send from it.

    `fast`: both hosts have the in-kernel plane.
    """

    link: str
    subnet: IPv4Network
    peer: IPv4Address
    fast: bool = False

    phase = PutOrder.TUNNEL

    @property
    def key(self) -> Key:
        return ("tunnelpeer", self.link, int(self.subnet.network_address), self.subnet.prefixlen)


@dataclass(frozen=True, slots=True)
class ExtensionStart:
    """A completed run of the extension backend's PostStartupCommand with this host's present values."""

    command: tuple[str, ...]
    subnets: SubnetKey
    networks: tuple[IPNetwork, ...]
    public_ips: tuple[IPAddress, ...]

    phase = PutOrder.LINK_UP

    @property
    def key(self) -> Key:
        return ("extension", "start")


@dataclass(frozen=True, slots=True)
class ExtensionPeer:
    """A completed run of the extension backend's SubnetAddCommand for a peer; `remove` is the command that undoes it.

    `told` is the output of the peer's PreStartupCommand. An empty command means no command.
    """

    subnets: SubnetKey
    public_ips: tuple[IPAddress, ...]
    told: str
    add: tuple[str, ...]
    remove: tuple[str, ...]

    phase = PutOrder.ROUTE

    @property
    def key(self) -> Key:
        return ("extensionpeer", str(self.subnets))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A PERMANENT neighbour: overlay address -> MAC, on a link of ours."""

    link: str
    address: IPAddress
    mac: Mac

    phase = PutOrder.NEIGHBOUR

    @property
    def key(self) -> Key:
        return ("neighbour", self.link, int(self.address), self.address.version)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """A permanent FDB entry of a VXLAN device (NTF_SELF): MAC -> underlay address of the peer."""

    link: str
    mac: Mac
    destination: IPAddress

    phase = PutOrder.FDB

    @property
    def key(self) -> Key:
        return ("fdb", self.link, int.from_bytes(self.mac.packed, "big"))


@dataclass(frozen=True, slots=True)
class FloodEntry:
    """A host to which a VXLAN device sends what it has learned no place for: one destination of the all-zero MAC."""

    link: str
    destination: IPAddress

    phase = PutOrder.FDB

    @property
    def key(self) -> Key:
        return ("flood", self.link, int(self.destination), self.destination.version)


class _Keyed:
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
class Route(_Keyed):
    """A unicast route. `link` is the output link's name; `gateway` None means directly connected."""

    destination: IPNetwork
    link: str
    gateway: IPAddress | None = None
    onlink: bool = False
    table: int = MAIN_TABLE
    metric: int = 0
    proto: int = ROUTE_PROTO


BLACKHOLE_METRIC = 0xFFFFFFFF
"""The last choice: behind the route that a bridge with our subnet brings along."""


@dataclass(frozen=True, slots=True)
class Blackhole(_Keyed):
    """A route that drops packets to a destination that no better route has."""

    destination: IPNetwork
    metric: int = BLACKHOLE_METRIC
    table: int = MAIN_TABLE
    proto: int = ROUTE_PROTO


@dataclass(frozen=True, slots=True)
class LocalRoute(_Keyed):
    """A route that makes a destination one of this host's own addresses, on no link that could go."""

    destination: IPNetwork
    metric: int = 0
    table: int = MAIN_TABLE
    proto: int = ROUTE_PROTO


@dataclass(frozen=True, slots=True)
class OtherRoute(_Keyed):
    """A route of a shape that we never make (multipath, blackhole, another family's gateway), on a key we may want."""

    destination: IPNetwork
    kind: str
    table: int = MAIN_TABLE
    metric: int = 0
    proto: int = 0


@dataclass(frozen=True, slots=True)
class HostSysctl:
    """A host-wide sysctl by its dotted name, such as `net.ipv4.ip_forward`."""

    name: str
    value: str

    phase = PutOrder.HOST_SETTING

    @property
    def key(self) -> Key:
        return ("sysctl", self.name)


KernelObject = (
    VxlanLink
    | TunLink
    | IpipLink
    | WireguardLink
    | WgDevice
    | WgPeer
    | OtherLink
    | LinkFeature
    | LinkSysctl
    | BridgePort
    | Address
    | LinkUp
    | TunnelEnd
    | TunnelPeer
    | ExtensionStart
    | ExtensionPeer
    | Neighbour
    | FdbEntry
    | FloodEntry
    | Route
    | Blackhole
    | LocalRoute
    | OtherRoute
    | HostSysctl
    | FilterChain
    | FilterJump
    | FilterMember
)
