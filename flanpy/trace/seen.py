"""The facts read of this host for one trace: frozen, with None for a fact that could not be had. Read by `read`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.bridge import is_named_bridge
from flanpy.trace.filter import TracedTable


class Direction(Enum):
    """OUT: from a container here to another host. FROM_HOST: from this host itself. IN: from the overlay to here."""

    OUT = "out"
    FROM_HOST = "from host"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Device:
    """A link as the kernel has it; `kind` is vxlan, tun, bridge, veth or "" for hardware, `master` its bridge."""

    name: str
    up: bool
    carrier: bool
    mtu: int
    kind: str = ""
    mac: str = ""
    vni: int | None = None
    port: int | None = None
    local: str = ""
    parent: str = ""
    master: str = ""


@dataclass(frozen=True, slots=True)
class RouteAnswer:
    """The answer of a route lookup. `problem` is what the kernel said instead, "" if there is a route.

    `kind` is unicast, local, blackhole, ...; `entry` the matched route as `ip route` prints it, as far as known.
    `table` is the table it stands in, "" for main and local.
    """

    link: str = ""
    gateway: IPAddress | None = None
    source: IPAddress | None = None
    kind: str = "unicast"
    entry: str = ""
    proto: str = ""
    mtu: int = 0
    problem: str = ""
    table: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A neighbour: `mac` "" while it is not known."""

    mac: str
    state: str


@dataclass(frozen=True, slots=True)
class LeaseSeen:
    """A lease as the daemon knows it, with what became of it here; "" is not known."""

    subnet: IPNetwork
    node: str
    public_ip: str
    backend: str = ""
    mac: str = ""
    state: str = ""
    reason: str = ""
    way: str = ""

    @property
    def name(self) -> str:
        return self.node or self.public_ip or str(self.subnet)


@dataclass(frozen=True, slots=True)
class Overlay:
    """The daemon's own account of the overlay; all empty without a daemon."""

    backend: str = ""
    networks: tuple[IPNetwork, ...] = ()
    device: Device | None = None
    plane: str = ""
    own: LeaseSeen | None = None
    leases: tuple[LeaseSeen, ...] = ()
    answered: bool = False
    narrow: str = ""
    """The reason why this family is off here, as the packets of the underlay are too small for it."""
    narrow_cure: str = ""
    tunnel_rows: Mapping[str, str] | None = None
    """Peer by subnet in the table of the UDP tunnel, None if it could not be read."""

    def lease_of(self, address: IPAddress) -> LeaseSeen | None:
        """The one whose subnet covers an address, own lease included."""
        candidates = (*self.leases, *([self.own] if self.own else []))
        return next((lease for lease in candidates if address in lease.subnet), None)


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of probes of the peer."""

    reach: str
    trouble: str
    evidence: str
    cure: str
    path_mtu: int = 0
    path_mtu_wanted: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One packet and all that it could meet here. `assumed` says why `source` was taken, "" if it was given.

    `rules` are routing rules that are none of the kernel's own three, as `ip rule` prints them, by their table; those
    that end packets by "".
    `inner` is the lookup for the packet, `back` for its answer, `outer` for its wrapping; `addresses` are this host's
    with their links, `fdb` maps MACs to underlay addresses. `protocol` and `port` are "" and 0 unless asked for.
    `unread` has a line for each fact that could not be had.
    """

    destination: IPAddress
    source: IPAddress | None
    direction: Direction
    overlay: Overlay
    assumed: str = ""
    in_link: str = ""
    protocol: str = ""
    port: int = 0
    peer: LeaseSeen | None = None
    devices: Mapping[str, Device] | None = None
    addresses: Mapping[IPAddress, str] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    back: RouteAnswer | None = None
    inner: RouteAnswer | None = None
    outer: RouteAnswer | None = None
    neighbours: Mapping[str, Entry] | None = None
    outer_neighbours: Mapping[str, Entry] | None = None
    fdb: Mapping[str, tuple[str, ...]] | None = None
    tables: tuple[TracedTable, ...] = ()
    tables_read: bool = True
    sysctls: Mapping[str, str] = field(default_factory=dict)
    probed: Probed | None = None
    unread: tuple[str, ...] = ()

    @property
    def named_bridge(self) -> str:
        """Return the bridge of the named network that the packet is for, "" if it is for none on this host."""
        link = self.inner.link if self.inner is not None else ""
        return link if is_named_bridge(link) else ""

    def device(self, name: str) -> Device | None:
        return (self.devices or {}).get(name)
