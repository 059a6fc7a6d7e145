"""A cloud provider's route tables as values: the routes there, those of ours, and the faults.

The provider's table is an observed world like the kernel's. One route sends one host's subnet to that host's
*target*: with AWS its network interface (`eni-...`), with GCE the name of its instance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import Final

AWS: Final = "aws-vpc"
GCE: Final = "gce"
CLOUDS: Final = frozenset({AWS, GCE})
"""Backends whose packets go by the provider's own router."""

TARGET_FIELD: Final = "Target"
"""Key of a lease's BackendData under which the host says what its route leads to; flannel writes no BackendData."""


class CloudFault(Enum):
    """Kinds of refusals, by the remedy. The value is a condition's reason."""

    DENIED = "PermissionMissing"
    CREDENTIALS = "CredentialsMissing"
    THROTTLED = "Throttled"
    FULL = "TableFull"
    UNREACHABLE = "Unreachable"
    WRONG_TABLE = "WrongTable"
    UNFIT = "HostUnfit"
    SDK = "SdkMissing"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True)
class CloudTrouble:
    """One refusal: `action` in the provider's words (`ec2:CreateRoute`), `text` as the provider put it."""

    fault: CloudFault
    action: str
    text: str

    def __str__(self) -> str:
        return f"{self.action}: {self.text}"


@dataclass(frozen=True, slots=True)
class CloudHost:
    """This host as the provider knows it.

    `target`: the name in a route to it. `forwards`: the provider lets it send and receive for others (AWS: the
    source/destination check is off, GCE: canIpForward). `home` is the place in the provider's network that its own
    packets start from (AWS: its VPC and subnet, GCE: its network).
    """

    target: str
    home: str
    forwards: bool = True


@dataclass(frozen=True, slots=True)
class CloudRoute:
    """A route in one of the provider's tables.

    `target` is "" where it leads to something that is no host (a gateway, a peering). `dead`: the provider says that
    its target is gone. `marked`: its name says that an overlay made it (GCE); AWS has no place for a mark.
    """

    table: str
    destination: IPv4Network
    target: str
    dead: bool = False
    marked: bool = False
    name: str = ""
    """of the resource, where routes are resources of their own (GCE)"""

    def __str__(self) -> str:
        gone = " (target gone)" if self.dead else ""
        return f"{self.destination} -> {self.target or 'no host'} in {self.table}{gone}"


@dataclass(frozen=True, slots=True)
class CloudTable:
    """One table of this host's network: all its IPv4 routes to prefixes, and how many routes there are in all.

    `limit` is how many there may be unless the quota was raised, 0 where that is not known. `own`: packets of this host
    go by it.
    """

    id: str
    routes: tuple[CloudRoute, ...]
    size: int
    limit: int
    own: bool = False


@dataclass(frozen=True, slots=True)
class CloudRecord:
    """The record in etcd of a route made by an overlay host: its target, its writer, and the table that the host's
    own packets take, in which the routes of all hosts must be. `written` are the tables that the host wrote it to."""

    target: str
    node_id: str
    table: str = ""
    written: tuple[str, ...] = ()


class CloudVerb(Enum):
    CREATE = "create"
    REPLACE = "replace"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class CloudOp:
    """One change of a table. `previous` is the route that stands, for REPLACE and DELETE."""

    verb: CloudVerb
    route: CloudRoute
    previous: CloudRoute | None = None

    def __str__(self) -> str:
        return f"{self.verb.value} {self.route}"


@dataclass(frozen=True, slots=True)
class CloudWanted:
    """The routes a world wants at the provider. `subnet` is our own, None if no route of ours is to be there.

    `settled`: etcd was heard, so an absent lease is gone.
    `leased` are the subnets of all leases, and `targets` the hosts that they name, by subnet. `judges`:
    the leases are known well enough to call a route stale. `hosts` are the node ids that may remove one.
    """

    backend: str
    node_id: str
    network: IPv4Network
    subnet_len: int
    tables: tuple[str, ...] = ()
    subnet: IPv4Network | None = None
    settled: bool = False
    leased: frozenset[IPv4Network] = frozenset()
    targets: Mapping[IPv4Network, str] = field(default_factory=lambda: MappingProxyType({}))
    hosts: tuple[str, ...] = ()
    judges: bool = False


@dataclass(frozen=True, slots=True)
class CloudPlan:
    """`ops` are for our own route. `stale` belong to no lease and are provably an overlay's, `unknown` to none and
    may be anybody's; `foreign` stand where ours should, and are not ours by any proof."""

    ops: tuple[CloudOp, ...] = ()
    foreign: tuple[CloudRoute, ...] = ()
    stale: tuple[CloudRoute, ...] = ()
    unknown: tuple[CloudRoute, ...] = ()


@dataclass(frozen=True, slots=True)
class CloudHere:
    """The facts about the provider that a planner may use: the target of our routes, and their subnet.

    `address` is the underlay address by which the provider identifies this host.
    """

    backend: str
    target: str
    standing: IPv4Network | None = None
    address: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class CloudStatus:
    """The state of the keeper of our routes. `looked_at` is monotonic, None before the first answer; `held` says why
    stale routes are not removed. `misplaced`: the table that this host's packets go by, if no route is written to it.
    `calls` counts by action and outcome (ok, error, throttled, denied)."""

    backend: str
    host: CloudHost | None = None
    tables: tuple[CloudTable, ...] = ()
    plan: CloudPlan = CloudPlan()
    trouble: CloudTrouble | None = None
    denied: tuple[CloudTrouble, ...] = ()
    held: str = ""
    misplaced: str = ""
    standing: IPv4Network | None = None
    looked_at: float | None = None
    calls: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    changes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
