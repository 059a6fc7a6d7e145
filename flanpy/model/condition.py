"""Conditions: the typed list from which phase, readiness, status and metrics derive, so that they cannot disagree."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ConditionType(Enum):
    """The subject of a condition, and its good state. The value is the name that people and machines see."""

    DATASTORE_REACHABLE = "DatastoreReachable"
    """etcd answers, and its watch is followed."""
    NETWORK_CONFIG_VALID = "NetworkConfigValid"
    """the network config in etcd can be used. Else the last good one stays in force."""
    LEASE_VALID = "LeaseValid"
    """a subnet is ours, its key stands in etcd, and its lease has not run out."""
    LEASE_CONFLICT = "LeaseConflict"
    """no other node claims this host's subnet."""
    UNDERLAY_READY = "UnderlayReady"
    """there is a link for packets to the other hosts."""
    BACKEND_READY = "BackendReady"
    """what carries packets (device, data plane, commands) stands as the backend wants it."""
    PEERS_PROGRAMMED = "PeersProgrammed"
    """the kernel knows the way to every peer."""
    PEER_LEASES_VALID = "PeerLeasesValid"
    """the leases of all peers can be used. One that cannot is left out and harms no other."""
    MASS_DELETE_HELD = "MassDeleteHeld"
    """no removal of many peers at once waits for a second listing to confirm it."""
    FOREIGN_CONFLICT = "ForeignConflict"
    """no foreign object stands where one of ours should."""
    FORWARDING_ENABLED = "ForwardingEnabled"
    """the host forwards packets, as soon as it has a bridge to forward for."""
    SUBNET_FILE_WRITTEN = "SubnetFileWritten"
    """subnet.env says what Docker is to use."""
    LEASE_SAVED = "LeaseSaved"
    """the lease is on disk, for a boot without etcd."""
    LISTENERS_UP = "ListenersUp"
    """the daemon listens where it was told to."""
    DUPLICATE_PUBLIC_IP = "DuplicatePublicIP"
    """no other node advertises this host's public address."""
    RESTART_NEEDED = "RestartNeeded"
    """everything that is set is in force."""
    DOCKER_CONSISTENT = "DockerConsistent"
    """what Docker runs is what the overlay asks of it. Unknown, and well, while Docker does not answer."""
    FIREWALL_READY = "FirewallReady"
    """the packet filter has our rules, or needs none."""
    PEERS_REACHABLE = "PeersReachable"
    """probes over the overlay reach every peer."""
    MTU_CONSISTENT = "MTUConsistent"
    """packets of full size get through to every peer."""
    NEIGHBOURS_FIT = "NeighboursFit"
    """the kernel's neighbour tables have room for every peer."""
    SUBNETS_AVAILABLE = "SubnetsAvailable"
    """one more host would find a free subnet."""
    CLOUD_ROUTES = "CloudRoutes"
    """the cloud provider's route tables lead this host's subnet here. Well where no backend asks for it."""
    NAMES_SERVED = "NamesServed"
    """containers of this host get answers when they ask for the names of others. Well where no resolver is wanted."""
    NETWORKS_READY = "NetworksReady"
    """every named network that is defined for this host stands here, in Docker as well. Well where there is none."""
    ADDRESSES_UNIQUE = "AddressesUnique"
    """no container of a named network on this host has the IP address or MAC of another one."""
    ENCRYPTED = "Encrypted"
    """every WireGuard peer that is sent to has a session. False, and well, where the backend does not encrypt."""
    HOST_TUNED = "HostTuned"
    """no reverse-path filter drops what peers send."""
    CHECKSUM_OFFLOAD = "ChecksumOffload"
    """no peer found packets corrupted whose checksum was left to this host's network card. False, and well, where the
    offload is off for another reason."""


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
