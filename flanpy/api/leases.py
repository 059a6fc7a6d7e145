"""`GET /v1/subnets` and `GET /v1/peers`: leases with what became of them here, and how peers are reached."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SubnetDocument:
    """A lease. `key` is the last part of its etcd key, `host` the name for people, "" for flannel's.

    `way` is how this host reaches the peer: direct, tunnel, command or none, and `way_reason` why. `state` is own,
    reserved, programmed, pending, failed or rejected, and `reason` why.
    """

    key: str
    subnet: str | None
    subnet6: str | None
    node_id: str
    host: str
    public_ip: str | None
    public_ip6: str | None
    backend_type: str
    vtep_mac: str | None
    vtep_mac6: str | None
    vni: int | None
    lease_id: int
    reservation: bool
    way: str
    way_reason: str
    own: bool
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ExpiringSubnetDocument(SubnetDocument):
    """A lease where etcd was asked for the time that is left: seconds, null for a reservation or a lease that ended."""

    expires_in: float | None


@dataclass(frozen=True, slots=True)
class InvalidKeyDocument:
    """A key of etcd below the leases that is not used, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class SubnetsDocument:
    """Every lease known as of `revision`; `stale` while etcd does not confirm it."""

    revision: int
    stale: bool
    subnets: tuple[SubnetDocument, ...]
    invalid: tuple[InvalidKeyDocument, ...]


@dataclass(frozen=True, slots=True)
class SessionDocument:
    """A peer of a WireGuard device. `key` is the beginning of its public key. `endpoint` is where its packets come
    from, null while none came and none was given, and `endpoint_wanted` what its lease says. `handshake_at` is wall
    time in seconds, null while there was none; `received` and `sent` are bytes. `state` is up, idle (no traffic for
    three minutes) or none."""

    link: str
    key: str
    state: str
    endpoint: str | None
    endpoint_wanted: str
    handshake_at: float | None
    received: int
    sent: int


@dataclass(frozen=True, slots=True)
class PeerDocument:
    """An admitted peer and how probes reach it.

    Times are milliseconds, losses shares from 0 to 1, both null while unknown; MTUs bytes, 0 while unknown;
    `changed_at` is wall time in seconds.
    """

    node_id: str
    host: str
    subnet: str | None
    subnet6: str | None
    way: str
    state: str
    reason: str
    public_ip: str | None
    reach: str
    trouble: str
    evidence: str
    cure: str
    rtt_ms: float | None
    loss: float | None
    underlay_rtt_ms: float | None
    underlay_loss: float | None
    path_mtu: int
    path_mtu_wanted: int
    changed_at: float | None
    wireguard: tuple[SessionDocument, ...] = ()


@dataclass(frozen=True, slots=True)
class PeersDocument:
    """Every admitted peer."""

    peers: tuple[PeerDocument, ...]
