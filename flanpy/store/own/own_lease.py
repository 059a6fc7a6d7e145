"""The keeper's output, memory and input: the frozen values around our own lease."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypedDict

from flanpy.model.lease import Lease, LeaseRecord, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.plan.border import Guarded


class LeaseSource(Enum):
    """The source of the knowledge of our own lease."""

    NONE = "none"
    DISK = "disk"
    ETCD = "etcd"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLeaseState:
    """Our own lease as published to all listeners, replaced whole.

    `expires_at` is in seconds of the monotonic clock, None for a reservation or while unknown. `conflict`,
    `duplicate_ip`, `waiting`, `missing`, `restart_needed` and `last_error` are one line each for people, "" if there
    is nothing to report. `missing`: etcd lacks the key of `lease`, and it could not be taken again. `yielded`:
    another node has the subnet of `lease` by now, though our data plane uses it. `moved_from` is the subnet that this
    lease replaced since start: containers must be restarted. `drained`: no lease is held, on purpose.
    """

    lease: Lease | None = None
    source: LeaseSource = LeaseSource.NONE
    expires_at: float | None = None
    conflict: str = ""
    yielded: bool = False
    duplicate_ip: str = ""
    waiting: str = ""
    missing: str = ""
    restart_needed: str = ""
    last_error: str = ""
    moved_from: SubnetKey | None = None
    drained: bool = False

    @property
    def lease_id(self) -> int:
        """Return the id of the etcd lease; 0 for a reservation or without a lease."""
        return self.lease.lease_id if self.lease is not None else 0


class OwnLeaseLines(TypedDict, total=False):
    """The lines for people of the published state, by their names in `OwnLeaseState`."""

    conflict: str
    duplicate_ip: str
    waiting: str
    missing: str
    restart_needed: str
    last_error: str


class OwnLeaseChanges(OwnLeaseLines, total=False):
    """The parts of the published state that one change replaces, by their names in `OwnLeaseState`."""

    lease: Lease | None
    source: LeaseSource
    expires_at: float | None
    yielded: bool
    moved_from: SubnetKey | None
    drained: bool


@dataclass(frozen=True, slots=True)
class WantedLease:
    """The lease we want: its network, its record, and the guarded ranges that it must not hold."""

    network: NetworkConfig
    record: LeaseRecord
    borders: tuple[Guarded, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredLease:
    """The lease on disk. `in_use`: the data plane uses it already (same boot, or Docker has it).

    A lease in use is published at once; another only if etcd does not answer within the keeper's `offline_after`,
    and until then it may still be given up for another subnet if some node took it meanwhile.
    """

    lease: Lease
    in_use: bool = False


LEAST_SHARE = 20
"""A margin close to the TTL must not make renewal a busy loop: not before a twentieth of the time has passed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTerms:
    """Times in seconds. `ttl` of the etcd lease (flannel's day), `margin` before its end by which it is renewed at the
    latest (flannel's subnet-lease-renew-margin; a third of the TTL is usually sooner), `offline_after` as above."""

    ttl: int = 86_400
    margin: float = 3_600.0
    offline_after: float = 5.0

    def renew_after(self, remaining: float) -> float:
        """Return the seconds until an etcd lease with `remaining` seconds is due."""
        if self.margin >= self.ttl:
            return remaining / 3
        return min(remaining / 3, max(remaining - self.margin, remaining / LEAST_SHARE))
