"""`GET /v1/status` and `GET /v1/verdict`: this host in one document, and the two verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerdictDocument:
    """`state` is well, impaired, down or unknown. `text` is one line, the cause first; `cause` names the condition,
    `follows` those that it explains."""

    state: str
    text: str
    cure: str
    cause: str
    follows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerdictsDocument:
    """The verdicts that every view shows."""

    host: VerdictDocument
    cluster: VerdictDocument


@dataclass(frozen=True, slots=True)
class ProblemDocument:
    """A problem of the reference; `page` is the address of its page."""

    id: str
    meaning: str
    page: str


@dataclass(frozen=True, slots=True)
class ConditionDocument:
    """`status` is True, False or Unknown; `since` is wall time in seconds. `problem` is null while all is well."""

    type: str
    status: str
    reason: str
    message: str
    cure: str
    since: float
    healthy: bool
    evidence: tuple[str, ...]
    depends_on: tuple[str, ...]
    problem: ProblemDocument | None


@dataclass(frozen=True, slots=True)
class NetworkDocument:
    """The network config in force; `text` is its value in etcd, a pre-shared key masked."""

    network: str | None
    network6: str | None
    subnet_len: int
    backend_type: str
    text: str


@dataclass(frozen=True, slots=True)
class OwnDocument:
    """Our own lease. `source` is none, disk or etcd; `expires_in` is seconds, null for a reservation."""

    key: str
    subnet: str | None
    subnet6: str | None
    public_ip: str | None
    public_ip6: str | None
    source: str
    expires_in: float | None
    reservation: bool
    lease_id: int


@dataclass(frozen=True, slots=True)
class UnderlayDocument:
    """The link that carries the overlay; `mtu` is bytes, `reason` says why this link."""

    link: str
    address: str | None
    address6: str | None
    mtu: int
    reason: str


@dataclass(frozen=True, slots=True)
class LinkDocument:
    """A link of the overlay as the daemon wants it; `mac` and `vni` are null where the backend has none.

    `kind` is vxlan, tun, ipip or wireguard; "" from a daemon of a version that did not say.
    """

    name: str
    mac: str | None
    vni: int | None
    port: int | None
    mtu: int
    local: str | None
    kind: str = ""


@dataclass(frozen=True, slots=True)
class BackendDocument:
    """The network's backend. `mtu` is that of containers in bytes, 0 while unknown; `ways` counts peers by how they are
    reached. `data_plane` says what carries the packets where no device of the kernel does; `cloud` names the provider
    that is asked for routes."""

    type: str
    links: tuple[LinkDocument, ...]
    data_plane: str | None
    mtu: int
    ways: Mapping[str, int]
    moving_from: str | None
    cloud: str | None


@dataclass(frozen=True, slots=True)
class PeerCountsDocument:
    """Peers by what became of them: `wanted` = `programmed` + `pending` + `failed`; `rejected` beside them."""

    wanted: int
    programmed: int
    pending: int
    failed: int
    rejected: int


@dataclass(frozen=True, slots=True)
class StoreDocument:
    """The connection to etcd; `outage_since` is wall time in seconds. `listed`: a list of hosts stands in for etcd.

    `version` is what the server says of itself, `3.5.30` or `flanpy-store 0.1.0`; empty until it has said so.
    """

    endpoint: str
    revision: int
    stale: bool
    outage_since: float | None
    listed: bool
    version: str = ""


@dataclass(frozen=True, slots=True)
class DockerNetworkDocument:
    """A bridge network of Docker; `mtu` is bytes."""

    bridge: str
    subnet: str | None
    gateway: str | None
    mtu: int
    ip_masq: bool


@dataclass(frozen=True, slots=True)
class DockerDocument:
    """Docker as last seen; `over_mtu` counts containers whose MTU is too large."""

    version: str
    live_restore: bool
    running_containers: int
    over_mtu: int
    default_bridge: DockerNetworkDocument | None
    network: DockerNetworkDocument | None


@dataclass(frozen=True, slots=True)
class ReversePathDocument:
    """`strict` names links whose rp_filter is strict; `drops` counts packets dropped for it."""

    strict: tuple[str, ...]
    drops: int
    drops_lately: int


@dataclass(frozen=True, slots=True)
class NeighbourTableDocument:
    """The kernel's neighbour table of a family: its limit, how many entries peers need, and how many were refused."""

    family: str
    limit: int
    needed: int
    refused: int
    refused_lately: int


@dataclass(frozen=True, slots=True)
class TuningDocument:
    """The kernel's settings that can harm the overlay. `bridge_filter`: bridged packets pass the packet filter; null
    without br_netfilter."""

    reverse_path: ReversePathDocument
    neighbours: tuple[NeighbourTableDocument, ...]
    bridge_filter: bool | None


@dataclass(frozen=True, slots=True)
class NamedNetworkDocument:
    """A named network of this host; `members` are the other hosts, `free` addresses of the slice, `names` those of
    containers on all of its hosts."""

    name: str
    subnet: str
    ipv6_subnet: str
    slice: str
    vni: int
    mtu: int
    bridge: str
    port: str
    in_docker: bool
    members: tuple[str, ...]
    containers: int
    free: int
    names: int = 0


@dataclass(frozen=True, slots=True)
class PoolDocument:
    """The subnets of one family of the network."""

    total: int
    free: int


@dataclass(frozen=True, slots=True)
class PassesDocument:
    """Passes of the reconcile loop since start; `resyncs` counts by reason, `repairs` by the kind of object."""

    count: int
    last_took_ms: float | None
    last_ops: int
    resyncs: Mapping[str, int]
    repairs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StatusDocument:
    """`host` is this host's name for people; `started_at` is wall time in seconds. What is not known yet is null."""

    version: str
    node_id: str
    pid: int
    started_at: float
    host: str
    verdict: VerdictDocument | None
    phase: str
    ready: bool
    conditions: tuple[ConditionDocument, ...]
    network: NetworkDocument | None
    own: OwnDocument | None
    underlay: UnderlayDocument | None
    backend: BackendDocument | None
    peers: PeerCountsDocument
    store: StoreDocument
    docker: DockerDocument | None
    tuning: TuningDocument | None
    networks: tuple[NamedNetworkDocument, ...]
    pools: tuple[PoolDocument, ...]
    passes: PassesDocument
