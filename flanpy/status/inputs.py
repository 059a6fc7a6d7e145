"""The inputs of status: references to frozen values of the other parts, gathered in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Protocol, TypedDict, Unpack

from flanpy.backend import choice
from flanpy.docker.watcher import DockerReport
from flanpy.model.cloud import CloudStatus
from flanpy.model.histogram import Histogram
from flanpy.model.lease import Lease
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.names import NamesStatus, SharedAddress
from flanpy.model.networks.view import KeptOut
from flanpy.model.reach import ReachReport
from flanpy.model.sessions import SessionFaults
from flanpy.model.transit import Transit
from flanpy.model.tuning import HostTuning
from flanpy.reconcile.outcome import Pass
from flanpy.store.own.allocation import Usage


class OwnSource(Enum):
    """The source of our knowledge of our own lease."""

    NONE = "none"
    DISK = "disk"
    ETCD = "etcd"


@dataclass(frozen=True, slots=True)
class OwnStatus:
    """Our own lease as its keeper sees it.

    `expires_at` is wall time in seconds, None for a reservation or when unknown; `ttl` how long, in seconds, a renewal
    makes it live. `yielded`: another node has the subnet of `lease` now. `drained`: no lease is held, on purpose.
    `conflict`, `duplicate_ip`, `waiting` and `missing` (etcd lacks the key of `lease`, and it could not be taken again:
    `waiting` says why) are one line each for people, empty when there is nothing to say.
    """

    lease: Lease | None = None
    source: OwnSource = OwnSource.NONE
    expires_at: float | None = None
    ttl: float | None = None
    conflict: str = ""
    yielded: bool = False
    duplicate_ip: str = ""
    waiting: str = ""
    missing: str = ""
    drained: bool = False


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The connection to etcd. `contacted` is false until the first news of the leases; `error` is the present outage's.

    `answers`: etcd answers some request at present, if not that for the leases.
    `listed`: a list of hosts stands in for etcd, and `endpoint` is where it stands.
    `version` is the word of the server at `endpoint`, "" until it is known.
    """

    endpoint: str = ""
    contacted: bool = False
    stale: bool = True
    error: str = ""
    outage_since: float | None = None
    answers: bool = False
    listed: bool = False
    version: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since start. `ops` is by kind and verb, `refusals` by kind and errno, `repairs_by_reason` by kind and the
    reason of the read-back that showed them, the others by their one label.
    """

    passes: int = 0
    pass_took: Histogram = field(default_factory=Histogram)
    ops: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    refusals: Mapping[tuple[str, int], int] = field(default_factory=lambda: MappingProxyType({}))
    repairs: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    repairs_by_reason: Mapping[tuple[str, str], int] = field(default_factory=lambda: MappingProxyType({}))
    resyncs: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that conditions are judged by. `last` is the last pass, None before the first.

    What only a restart puts into effect comes from three sides: settings of this host, the network config, our lease.
    `backend_error` says why the backend cannot begin, `key_error` why this host's WireGuard key cannot be used,
    `shut_out` whether an operator revoked this host,
    `sessions` which of its peers ail, and `data_plane` what carries the packets of a backend that does so outside the
    kernel's own devices.
    All texts are one line for people, empty when there is nothing to say; `listeners` is None before any is
    tried, `docker`, `tuning` and `transit` before the first look at them, `reach` before the first round of probes.
    `names` is None where no resolver is wanted.
    `known_names` counts names of containers, by network.
    `cloud` is None while no backend asks a provider for routes. `kept_out` tells of named networks, `containers` how
    many are on each, by the device.
    `shared` are addresses of containers of this host that other containers have, too.
    `changed_hands` names peers whose lease leads to another host now, though the one before answers still.
    `pools` is the network's usage by family; it is recomputed periodically, not on every pass.
    """

    network: NetworkConfig | None = None
    network_error: str = ""
    pending_settings: str = ""
    pending_network: str = ""
    pending_lease: str = ""
    own: OwnStatus = field(default_factory=OwnStatus)
    store: StoreStatus = field(default_factory=StoreStatus)
    subnet_file: str = ""
    subnet_file_error: str = ""
    lease_file: str = ""
    lease_file_error: str = ""
    listeners: str | None = None
    listeners_error: str = ""
    docker: DockerReport | None = None
    reach: ReachReport | None = None
    tuning: HostTuning | None = None
    transit: Transit | None = None
    pools: tuple[Usage | None, ...] = ()
    cloud: CloudStatus | None = None
    names: NamesStatus | None = None
    known_names: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    kept_out: KeptOut = field(default_factory=KeptOut)
    containers: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    shared: tuple[SharedAddress, ...] = ()
    changed_hands: tuple[str, ...] = ()
    data_plane: str = ""
    backend_error: str = ""
    key_error: str = ""
    shut_out: bool = False
    sessions: SessionFaults = field(default_factory=SessionFaults)
    last: Pass | None = None
    stopping: bool = False

    @property
    def own_links(self) -> frozenset[str]:
        """The links that are ours to make, as of the last pass."""
        return choice.links(self.last.world) if self.last is not None else frozenset()


class StatusSink(Protocol):
    """Takes what parts of the daemon tell people; it has no way to read anything back."""

    def note(self, **changes: Unpack[InputChanges]) -> None:
        """Replace inputs by name and judge again."""


class InputChanges(TypedDict, total=False):
    """The inputs that one note replaces, by their names in `Inputs`; the board itself recomputes `pools`."""

    network: NetworkConfig | None
    network_error: str
    pending_settings: str
    pending_network: str
    pending_lease: str
    own: OwnStatus
    store: StoreStatus
    subnet_file: str
    subnet_file_error: str
    lease_file: str
    lease_file_error: str
    listeners: str | None
    listeners_error: str
    docker: DockerReport | None
    reach: ReachReport | None
    tuning: HostTuning | None
    transit: Transit | None
    cloud: CloudStatus | None
    names: NamesStatus | None
    known_names: Mapping[str, int]
    shared: tuple[SharedAddress, ...]
    kept_out: KeptOut
    containers: Mapping[str, int]
    changed_hands: tuple[str, ...]
    data_plane: str
    backend_error: str
    key_error: str
    shut_out: bool
    sessions: SessionFaults
    last: Pass | None
    stopping: bool
