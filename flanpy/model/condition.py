"""Conditions: the typed list from which phase, readiness, status and metrics derive, so that they cannot disagree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ConditionType(Enum):
    """What is judged. The value is the name that people and machines see."""

    DATASTORE_REACHABLE = "DatastoreReachable"
    NETWORK_CONFIG_VALID = "NetworkConfigValid"
    LEASE_VALID = "LeaseValid"
    LEASE_CONFLICT = "LeaseConflict"
    UNDERLAY_READY = "UnderlayReady"
    BACKEND_READY = "BackendReady"
    PEERS_PROGRAMMED = "PeersProgrammed"
    PEER_LEASES_VALID = "PeerLeasesValid"
    MASS_DELETE_HELD = "MassDeleteHeld"
    FOREIGN_CONFLICT = "ForeignConflict"
    FORWARDING_ENABLED = "ForwardingEnabled"
    SUBNET_FILE_WRITTEN = "SubnetFileWritten"
    LEASE_SAVED = "LeaseSaved"
    LISTENERS_UP = "ListenersUp"
    DUPLICATE_PUBLIC_IP = "DuplicatePublicIP"
    RESTART_NEEDED = "RestartNeeded"
    DOCKER_CONSISTENT = "DockerConsistent"
    FIREWALL_READY = "FirewallReady"
    PEERS_REACHABLE = "PeersReachable"
    MTU_CONSISTENT = "MTUConsistent"
    NEIGHBOURS_FIT = "NeighboursFit"
    SUBNETS_AVAILABLE = "SubnetsAvailable"
    HOST_TUNED = "HostTuned"


class Status(Enum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Condition:
    """One judgement. `healthy` says whether this status is the good one (MassDeleteHeld is good when False).

    `reason` is a CamelCase constant, `message` one line of evidence for people, `cure` what to do about it,
    `since` wall-clock seconds of the last change of status or reason. `evidence` is what was measured, a line each;
    `depends_on` names conditions which, while unhealthy, explain this one: the cause is shown first.
    """

    type: ConditionType
    status: Status
    reason: str
    message: str
    healthy: bool
    cure: str = ""
    since: float = 0.0
    evidence: tuple[str, ...] = ()
    depends_on: tuple[ConditionType, ...] = ()
