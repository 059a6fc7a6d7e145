"""Leases: etcd's record of which node holds which subnet, in flannel's schema plus a node id.

A *lease* here is a key under `<prefix>/subnets/`; one that is bound to no etcd lease is a *reservation*
(its owner keeps it indefinitely). A key that cannot be read is an `InvalidLease`: absent, counted and named.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import MappingProxyType

from flanpy.model.address import Family, IPAddress, IPNetwork, Mac


@dataclass(frozen=True, slots=True)
class VxlanData:
    """BackendData of a vxlan lease. flannel writes `VNI`; older writers leave it out (None)."""

    mac: Mac
    vni: int | None = None


@dataclass(frozen=True, slots=True)
class WireguardData:
    """BackendData of a wireguard lease: the public key in base64. Older flannels leave `Port` out (None)."""

    public_key: str
    port: int | None = None


@dataclass(frozen=True, slots=True)
class RawData:
    """BackendData of a backend that we do not interpret here: the JSON text as it stood in etcd."""

    json: str


BackendData = VxlanData | WireguardData | RawData


@dataclass(frozen=True, slots=True)
class SubnetKey:
    """The subnets of a lease, as its etcd key names them: `10.50.25.0-24` or `10.50.25.0-24&fd50:1:0:4c::-64`."""

    subnet: IPv4Network | None
    subnet6: IPv6Network | None = None

    def of(self, family: Family) -> IPNetwork | None:
        """Return the subnet of one family."""
        return self.subnet if family is Family.IPV4 else self.subnet6

    @property
    def subnets(self) -> tuple[IPNetwork, ...]:
        """Return the subnets of the families that the key has."""
        return tuple(one for one in (self.subnet, self.subnet6) if one is not None)

    def overlaps(self, other: SubnetKey) -> bool:
        """Report whether the two keys share an address, in either family."""
        pairs = ((self.of(family), other.of(family)) for family in Family)
        return any(
            mine is not None and theirs is not None and mine.overlaps(theirs) for mine, theirs in pairs
        )

    def __str__(self) -> str:
        """Return the last part of the etcd key, byte for byte as flannel writes it."""
        return "&".join(f"{one.network_address}-{one.prefixlen}" for one in self.subnets)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The value of a lease: the data a node publishes to the others. `backend_type` is "" for udp and alloc.

    `fast_path`: the node has the in-kernel plane of the udp backend, and may get packets that only it can receive.
    `leaving`: the node is about to give the lease back, so nobody waits for it to come again.
    `host_name` is for people alone (`model.naming`); nothing is decided by it.
    `mesh_token`: the bearer may ask other hosts for their row of the mesh, as this node; told to nobody.
    `without_ipv6`: the node's packets have no room for the overlay's IPv6, so it has none of it, whatever stands here:
    flannel drops a lease that lacks the data of a family of its key.
    `announced_key`: the node's public key of WireGuard beside another backend, while it moves to or from that one.
    """

    public_ip: IPv4Address | None
    public_ip6: IPv6Address | None = None
    backend_type: str = ""
    backend_data: BackendData | None = None
    backend_data6: BackendData | None = None
    node_id: str = ""
    fast_path: bool = False
    host_name: str = ""
    leaving: bool = False
    mesh_token: str = field(default="", repr=False)
    without_ipv6: bool = False
    announced_key: str = ""

    @property
    def owner(self) -> str:
        """Return the owner of the lease as text for people: node id and public address, as far as known."""
        address = self.public_ip or self.public_ip6
        node = " ".join(filter(None, (self.host_name, f"node {self.node_id}"))) if self.node_id else ""
        if node and address:
            return f"{node} ({address})"
        return node or f"host {address}"

    def public(self, family: Family) -> IPAddress | None:
        """Return the public address of one family."""
        return self.public_ip if family is Family.IPV4 else self.public_ip6

    def data(self, family: Family) -> BackendData | None:
        """Return the backend's data of one family."""
        return self.backend_data if family is Family.IPV4 else self.backend_data6

    @property
    def wireguard_key(self) -> str:
        """Return the host's public key of WireGuard, "" if it has none."""
        said = (self.backend_data, self.backend_data6)
        return next((one.public_key for one in said if isinstance(one, WireguardData)), self.announced_key)


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as read from etcd. `lease_id` is the etcd lease it is bound to, 0 for a reservation."""

    key: SubnetKey
    record: LeaseRecord
    lease_id: int = 0
    create_revision: int = 0
    mod_revision: int = 0

    @property
    def is_reservation(self) -> bool:
        return self.lease_id == 0


@dataclass(frozen=True, slots=True)
class InvalidLease:
    """A key under `subnets/` that cannot be used. `reason` names the field, its value and what is wrong with it."""

    key: str
    reason: str
    mod_revision: int = 0


@dataclass(frozen=True, slots=True)
class LeaseView:
    """All leases as last heard from etcd, our own among them.

    `leases` and `deletions` are keyed by the text of the subnet key. `deletions` maps keys that etcd said were
    deleted (an event, not mere absence) to the revision of that event: the latest of them, and none from before the
    listing before the last. `listed` is the revision of the last. `listings` counts complete listings since start;
    `in_sync` is true from the first one on, and stays true while `stale` (etcd cannot be heard) is true.
    `rewound` is the listing that found etcd's history replaced (wiped, restored from a backup), 0 if none did.
    """

    leases: Mapping[str, Lease] = field(default_factory=lambda: MappingProxyType({}))
    invalid: tuple[InvalidLease, ...] = ()
    deletions: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    revision: int = 0
    listings: int = 0
    stale: bool = True
    rewound: int = 0
    listed: int = 0

    @property
    def in_sync(self) -> bool:
        return self.listings > 0

    @property
    def doubtful(self) -> bool:
        """Report whether the last listing is of an etcd that lost data: missing leases may be about to be written
        again."""
        return 0 < self.rewound == self.listings
