"""The world: the complete input of a planner, frozen together."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from flanpy.model.address import IPNetwork
from flanpy.model.border import EtcdAddress
from flanpy.model.cloud import CloudHere
from flanpy.model.encryption import Encryption
from flanpy.model.facts import HostFacts
from flanpy.model.lease import Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.model.networks.view import NamedView
from flanpy.model.offload import Corruption, OffloadChoice
from flanpy.model.packet_filter import FilterFacts, FilterPolicy
from flanpy.model.revocation import Revocation

Claim = tuple[SubnetKey, LeaseRecord]
"""A lease by what it says: written again with the same value it is the same claim."""

NO_CLAIMS: frozenset[Claim] = frozenset()


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's settings for this host: identity, advertised addresses, offloads.

    `host_name` is advertised for people to read, "" to advertise none.
    `public_ip`/`public_ip6` override the advertised address. Packets leave from it where it is one of this host.
    `tx_checksum`: the VXLAN device's checksums are left to the network card; input of `plan.offload`.
    `extension_commands` are the command lines that the extension backend may run here, word for word.
    `blackhole`: packets to our subnet are dropped while no bridge has it, not sent back to their origin.
    `fast_path`: the in-kernel plane of the udp backend can run here and is not switched off.
    `allowed_networks`: the only ranges that the overlay may have here; empty while the operator named none.
    `wireguard_key` is this host's public key, "" while it has none or may not use it. `wireguard_said` is the one that
    the lease names until a device has the new one, "" for the same.
    `encryption` is whether packets between hosts may be in clear here.
    `dns_address` is where containers of this host ask for names; None for nowhere.
    `fast_path_offered`: it is advertised to peers. `fast_path_quiet`: peers may not know yet, and get no packets by it.
    """

    node_id: str
    public_ip: IPv4Address | None = None
    public_ip6: IPv6Address | None = None
    tx_checksum: OffloadChoice = OffloadChoice.AUTO
    fast_path: bool = False
    fast_path_offered: bool = True
    fast_path_quiet: bool = False
    extension_commands: tuple[str, ...] = ()
    filter: FilterPolicy = field(default_factory=FilterPolicy)
    blackhole: bool = False
    allowed_networks: tuple[IPNetwork, ...] = ()
    host_name: str = ""
    dns_address: IPv4Address | None = None
    wireguard_key: str = ""
    wireguard_said: str = ""
    encryption: Encryption = Encryption.OFF

    @property
    def advertised_key(self) -> str:
        """Return the public key of WireGuard that our lease names, "" for none."""
        return self.wireguard_said or self.wireguard_key


@dataclass(frozen=True, slots=True)
class Printed:
    """The output of the extension backend's PreStartupCommand."""

    command: tuple[str, ...]
    output: str


@dataclass(frozen=True, slots=True)
class Former:
    """The backend that the network had until its config was changed, while hosts move to the new one.

    `network` is that config, `record` our lease's content under it: peers that still advertise that backend are
    reached, and reach us, by it. `greets`: all peers know our WireGuard key, so that sessions may begin before packets
    need them.
    """

    network: NetworkConfig
    record: LeaseRecord
    greets: bool = False


@dataclass(frozen=True, slots=True)
class World:
    """Input of every planner. `own` is this node's lease, from etcd or, while etcd is away, from disk.

    `own_confirmed` distinguishes the two: etcd has confirmed the lease since start.
    `filter` is None while packet filters are not read: then no rules are planned. `clouds` has one entry for each
    provider that was asked. `etcd` are the addresses of etcd's endpoints, in order. `withheld` are leases that get no
    route here, because etcd was lost when they had one.
    `docker_waits`: Docker's settings are such that it makes no bridge before the host forwards.
    route here, because etcd was lost when they had one. `corruption` is what peers told of packets whose checksum was
    left to the network card. `named` are the named networks that this host is on.
    `revoked` are hosts that an operator shut out.
    """

    policy: Policy
    network: NetworkConfig | None = None
    own: Lease | None = None
    own_confirmed: bool = False
    view: LeaseView = field(default_factory=LeaseView)
    facts: HostFacts = field(default_factory=HostFacts)
    former: Former | None = None
    printed: Printed | None = None
    clouds: tuple[CloudHere, ...] = ()
    filter: FilterFacts | None = None
    etcd: tuple[EtcdAddress, ...] = ()
    withheld: frozenset[Claim] = NO_CLAIMS
    docker_waits: bool = False
    corruption: Corruption | None = None
    named: NamedView = field(default_factory=NamedView)
    revoked: tuple[Revocation, ...] = ()
