"""Admission of the other hosts' leases: the border between the state in etcd and the kernel objects of this host.

Owns the refusal of harmful leases: outside the network, overlapping, covering the underlay, or using our address or
another host's MAC. flannel has no such border: one lease for `0.0.0.0-0` cut its hosts off for good. Pure and
stateless: a frequent caller continues from its last result (`plan.readmission`).

Families are judged one by one: of a dual-stack lease in an IPv4-only network the IPv4 part is admitted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from operator import attrgetter
from types import MappingProxyType

from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.cloud import CLOUDS
from flanpy.model.lease import Lease, LeaseRecord, SubnetKey, VxlanData, WireguardData
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import Former, World
from flanpy.plan.border import guarded, holds
from flanpy.plan.refusal import Reason, Rejected, overlap, revoked, same_mac, withheld
from flanpy.plan.space import Space, Vtep, numbers

_NO_TYPE = frozenset({"udp", "alloc"})
"""Backends whose leases carry no BackendType (flannel's schema)."""

created = attrgetter("create_revision")


def lease_type(backend_type: str) -> str:
    """Return the BackendType that leases of this backend carry."""
    return "" if backend_type in _NO_TYPE else backend_type


def lease_types(network: NetworkConfig, former: Former | None) -> frozenset[str] | None:
    """Return the BackendTypes a peer's lease may carry: the network's and the former backend's. None: any.

    The alloc backend programs no peers, so the type of their leases does not matter to it.
    """
    if network.backend_type == "alloc":
        return None
    then = [former.network.backend_type] if former is not None else []
    types = [network.backend_type, *then]
    # flannel's leases of these have no BackendType
    untyped = {""} if network.backend_type in CLOUDS else set()
    return frozenset(map(lease_type, types)) | untyped


@dataclass(frozen=True, slots=True)
class Admission:
    """`peers` in creation order, cut to the families of the network; `reserved`: reservations that no host uses yet."""

    peers: tuple[Lease, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    reserved: tuple[Rejected, ...] = ()


def admit(world: World) -> Admission:
    """Judge every lease in the view: our own lease first, then the others, oldest create revision first."""
    if world.network is None:
        return Admission()
    _, peers, rejected = judged(world, by_age(world.view.leases.values()))
    return admission(peers.values(), rejected)


def judged(world: World, leases: Sequence[Lease]) -> tuple[Judge, dict[int, Lease], list[Rejected]]:
    """Judge `leases`, oldest first. Return the space taken, the peers by the id of their lease, and the refusals.

    A MAC belongs to the lease with a node id, even if an older lease without one had it first. The leases that lose it
    are refused in one more round, so that their subnets are free for others. Each round refuses some, so rounds end.
    """
    barred: dict[tuple[int, Family], Lease] = {}
    while True:
        judge, rejected = Judge(world, barred), list[Rejected]()
        verdicts = [(id(lease), judge.peer(lease, rejected)) for lease in leases]
        if not judge.displaced:
            return judge, {key: peer for key, peer in verdicts if peer is not None}, rejected
        barred |= judge.displaced


def admission(peers: Iterable[Lease], rejected: Iterable[Rejected]) -> Admission:
    """Build the admission from a judge's results, in order of age. An unused reservation is no fault."""
    rejected = tuple(rejected)
    return Admission(
        tuple(peers),
        tuple(item for item in rejected if item.reason is not Reason.RESERVED),
        tuple(item for item in rejected if item.reason is Reason.RESERVED),
    )


def by_age(leases: Iterable[Lease]) -> list[Lease]:
    """Sort leases oldest first; leases of one transaction in the order of their keys, not of their arrival."""
    ordered = sorted(leases, key=created)
    if len({*map(created, ordered)}) < len(ordered):
        ordered.sort(key=lambda lease: (lease.create_revision, str(lease.key)))
    return ordered


def is_own(lease: Lease, world: World) -> bool:
    """Report whether a lease is ours: by node id, or without one (flannel's lease) by subnet and public IP together."""
    if lease.record.node_id:
        return lease.record.node_id == world.policy.node_id
    own = world.own
    return own is not None and lease.key == own.key and lease.record.public_ip == own.record.public_ip


class Judge:
    """The rules, with their inputs prepared once: the network, our own lease, and the leases admitted so far.

    `displaced` are leases without a node id that were admitted before another with the same MAC and a node id, each
    with that one, by the id of the lease and the family; `barred` are those of an earlier round.
    """

    def __init__(
        self, world: World, barred: Mapping[tuple[int, Family], Lease] = MappingProxyType({})
    ) -> None:
        self._world = world
        self.barred = barred
        self.displaced: dict[tuple[int, Family], Lease] = {}
        self._guarded = guarded(world)
        network = world.network
        assert network is not None
        self._type = network.backend_type
        self._types = lease_types(network, world.former)
        self._spaces = [
            (Space(Family.of(range_)), range_, *numbers(range_))
            for range_ in (network.network, network.network6)
            if range_ is not None
        ]
        here = own_addresses(world)
        self._here = {
            family: tuple(int(address) for address in here if Family.of(address) is family)
            for family in Family
        }
        if world.own is not None:
            self._take_own(world.own)

    def _take_own(self, own: Lease) -> None:
        for space, _, _, _ in self._spaces:
            subnet = own.key.of(space.family)
            public = own.record.public(space.family)
            if subnet is not None:
                space.take(*numbers(subnet), None, int(public) if public is not None else -1)
            mac = self._mac(own.record, space.family)
            if mac is not None and public is not None:
                space.take_mac(mac, None, int(public))

    def bars(self, keys: Iterable[int]) -> bool:
        """Report whether any of these leases, by id, is refused because of its MAC."""
        return bool(self.barred) and not {key for key, _ in self.barred}.isdisjoint(keys)

    def copy(self, world: World) -> Judge:
        """An equal judge that learns on its own, of a world with the same measures: not to hold on to an old one, and
        all its leases."""
        other = copy(self)
        other._world = world  # noqa: SLF001, another of this class
        spaces = [(space.copy(), network, first, last) for space, network, first, last in self._spaces]
        other._spaces = spaces  # noqa: SLF001, another of this class
        other.displaced = {}
        return other

    def release(self, peer: Lease) -> None:
        """Forget a peer that was admitted (in this form, cut or whole)."""
        for space, _, _, _ in self._spaces:
            subnet, public = peer.key.of(space.family), peer.record.public(space.family)
            if subnet is not None and public is not None:
                space.release(int(subnet.network_address), int(public))
                mac = self._mac(peer.record, space.family)
                if mac is None:
                    continue
                if peer.record.node_id:
                    space.release_mac(mac)
                else:
                    space.release_guest(mac, int(public))

    def peer(self, lease: Lease, rejected: list[Rejected]) -> Lease | None:
        """Return the admitted part of the lease; add the rest to `rejected`. Our own lease is in neither."""
        if is_own(lease, self._world):
            return None
        whole = self._whole(lease)
        if whole is not None:
            rejected.append(Rejected(lease, *whole))
            return None
        admitted: list[Family] = []
        present = 0
        for space, network, first, last in self._spaces:
            subnet = lease.key.of(space.family)
            if subnet is None:
                continue
            present += 1
            if lease.record.without_ipv6 and space.family is Family.IPV6:
                continue  # that host says so of itself, and names the cure
            fault = self._part(lease, subnet, space, network, first, last)
            if fault is None:
                admitted.append(space.family)
            else:
                rejected.append(Rejected(lease, *fault))
        if not present:
            message = f"lease {lease.key} of {lease.record.owner} has no subnet of a family of the network"
            rejected.append(Rejected(lease, Reason.NO_COMMON_FAMILY, message))
        return _cut(lease, admitted)

    def _whole(self, lease: Lease) -> tuple[Reason, str] | None:
        """Return the reason why a lease is not a peer in any family, None if there is none."""
        record = lease.record
        if self._types is not None and record.backend_type not in self._types:
            if lease.is_reservation and not record.backend_type:
                return Reason.RESERVED, f"subnet {lease.key} is reserved for {lease.record.owner}, not in use"
            theirs = record.backend_type or "udp or alloc"
            return (
                Reason.OTHER_BACKEND,
                f"lease {lease.key} of {lease.record.owner} is of backend {theirs}, the network's is {self._type}",
            )
        for one in self._world.revoked:
            if one.bars(record):
                return revoked(lease, one)
        if (lease.key, record) in self._world.withheld:
            return withheld(lease)
        for address, here in (
            (record.public_ip, self._here[Family.IPV4]),
            (record.public_ip6, self._here[Family.IPV6]),
        ):
            if address is not None and int(address) in here:
                own = self._world.policy.node_id
                message = f"lease {lease.key} of {lease.record.owner} has our public IP {address} (we are node {own})"
                return Reason.DUPLICATE_PUBLIC_IP, message
        return None

    def _part(
        self, lease: Lease, subnet: IPNetwork, space: Space, network: IPNetwork, first: int, last: int
    ) -> tuple[Reason, str] | None:
        """Judge one family's subnet, and take it if no rule refuses it."""
        start, end = numbers(subnet)
        if not (first <= start and end <= last and subnet.prefixlen > network.prefixlen):
            return (
                Reason.OUTSIDE_NETWORK,
                f"subnet {subnet} of {lease.record.owner} is no part of network {network}",
            )
        public = lease.record.public(space.family)
        if public is None:
            if lease.is_reservation:
                return Reason.RESERVED, f"subnet {subnet} is reserved for {lease.record.owner}, not in use"
            return (
                Reason.NO_PUBLIC_IP,
                f"subnet {subnet} of {lease.record.owner} has no public IP of its family",
            )
        if self._types and lease.record.backend_type == "vxlan" and lease.record.data(space.family) is None:
            return (
                Reason.NO_BACKEND_DATA,
                f"subnet {subnet} of {lease.record.owner} has no VtepMAC of its family",
            )
        number, mac = int(public), self._mac(lease.record, space.family)
        if mac is not None and (other := self._owner(lease, mac, space, number)) is not None:
            return same_mac(lease, mac, other, self._world)
        fault = self._place(lease, subnet, space, (start, end, number))
        if fault is None and mac is not None:
            self._take_mac(lease, mac, space, number)
        return fault

    def _mac(self, record: LeaseRecord, family: Family) -> bytes | None:
        """Return the MAC of the FDB entry, or the public key, if the lease's backend has one."""
        data = record.data(family)
        if self._types is None:
            return None
        if isinstance(data, WireguardData):
            return data.public_key.encode()
        return data.mac.packed if isinstance(data, VxlanData) else None

    def _owner(self, lease: Lease, mac: bytes, space: Space, number: int) -> Vtep | None:
        """Return the owner of this lease's MAC at another public address, if its lease has a node id.

        Two leases without node ids may share a MAC: a flannel host that changed its address leaves its old lease behind
        and keeps its MAC in the new one.
        """
        found = space.elsewhere(mac, number)
        if found is None and (younger := self.barred.get((id(lease), space.family))) is not None:
            return Vtep(younger, -1)
        return found

    def _take_mac(self, lease: Lease, mac: bytes, space: Space, number: int) -> None:
        if not lease.record.node_id:
            space.take_guest(mac, lease, number)
            return
        for guest in space.guests_elsewhere(mac, number):
            self.displaced[id(guest), space.family] = lease
        space.take_mac(mac, lease, number)

    def _place(
        self, lease: Lease, subnet: IPNetwork, space: Space, place: tuple[int, int, int]
    ) -> tuple[Reason, str] | None:
        start, end, number = place
        taken = space.overlapped(start, end)
        if taken >= 0:
            return overlap(lease, subnet, space.owners[taken], self._world)
        if any([start <= address <= end for address in self._here[space.family]]):  # noqa: C419  (three times as fast)
            return (
                Reason.COVERS_UNDERLAY,
                f"subnet {subnet} of {lease.record.owner} holds this host's underlay address",
            )
        if (border := holds(start, end, self._guarded, subnet)) is not None:
            message = f"subnet {subnet} of {lease.record.owner} would take the way to {border.what}"
            return Reason.TAKES_WAY, message
        if start <= number <= end or space.at(number) >= 0:
            public = lease.record.public(space.family)
            message = f"public IP {public} of {lease.record.owner} lies in a subnet of the overlay"
            return Reason.PUBLIC_IP_INSIDE_SUBNET, message
        if space.covered_public(start, end):
            message = f"subnet {subnet} of {lease.record.owner} holds the public IP of an older lease"
            return Reason.COVERS_UNDERLAY, message
        space.take(start, end, lease, number)
        return None


def own_addresses(world: World) -> frozenset[IPAddress]:
    """Return the addresses that we advertise or send from."""
    underlay = world.facts.underlay
    candidates: Iterable[IPAddress | None] = (
        world.policy.public_ip,
        world.policy.public_ip6,
        *((underlay.address, underlay.address6) if underlay is not None else ()),
        *((world.own.record.public_ip, world.own.record.public_ip6) if world.own is not None else ()),
    )
    return frozenset(address for address in candidates if address is not None)


def _cut(lease: Lease, admitted: list[Family]) -> Lease | None:
    """Return the lease with only the admitted families; the same object if all are admitted."""
    if not admitted:
        return None
    key, record = lease.key, lease.record
    if key.subnet is not None and Family.IPV4 not in admitted:
        return replace(
            lease, key=SubnetKey(None, key.subnet6), record=replace(record, public_ip=None, backend_data=None)
        )
    if key.subnet6 is not None and Family.IPV6 not in admitted:
        return replace(
            lease, key=SubnetKey(key.subnet), record=replace(record, public_ip6=None, backend_data6=None)
        )
    return lease
