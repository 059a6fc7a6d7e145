"""The next step of the keeper of our own lease: a pure decision over the held lease and the state of etcd.

Owns the policy of identity, loss and conflict:

- A lease is ours by node id; one that flannel wrote (no node id) is ours by public IP. A lease of another node id with
  our public IP is *not* ours (flannel would take it over): it is reported, and we lease a subnet of our own.
- A lost lease is taken again on the *same* subnet, never on another, while containers use it (`in_use`).
- If another node has the subnet by then, we yield: the data plane stays, nothing is written, the conflict is shown, and
  the subnet is taken again when it is free. Two hosts announcing one subnet would break both; here the announced one
  works, and the operator drains one of the two. Before anything uses the subnet, we simply lease another.
- A running node is not moved because the network config changed: it keeps its lease and reports that a restart is due.
  At start it takes a new lease if the config really has no room for the old one.
- A reservation stays one: it is rewritten in place without an etcd lease.

No I/O, no clock, no memory between two calls; time comes in as monotonic seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from random import Random

from flanpy.errors import LeaseError
from flanpy.model.lease import InvalidLease, Lease, LeaseRecord, LeaseView, SubnetKey
from flanpy.model.network.network import NetworkConfig
from flanpy.plan.border import Guarded, covering, held_by
from flanpy.store.own.allocation import candidates, contested, excluded
from flanpy.store.schema import decode_key


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnState:
    """The keeper's knowledge.

    `record` is the wanted content of our lease, node id included. `held` is the lease as last confirmed, by etcd or the
    disk; `in_use`: the data plane uses it. `previous` is the preferred subnet of a new lease.
    `settled` is true once etcd confirmed a lease since start. `renew_at` is when the etcd lease is due. `borders` are
    ranges that no subnet of ours may hold, as containers on it would take over this host's own paths.
    """

    record: LeaseRecord
    held: Lease | None = None
    in_use: bool = False
    previous: SubnetKey | None = None
    settled: bool = False
    renew_at: float = -math.inf
    borders: tuple[Guarded, ...] = ()


class Why(Enum):
    """Why a lease is acquired or rewritten; the value is the text in logs."""

    NEW = "no lease yet"
    LOST = "lease lost"
    EXCLUDED = "network config has no room for it"
    FAMILY = "network config has another family"
    CHANGED = "advertised values changed"
    UNREADABLE = "value was overwritten with garbage"


@dataclass(frozen=True, slots=True)
class Acquire:
    """Create one of these keys, the first free one; `replaces` goes in the same transaction."""

    candidates: tuple[SubnetKey, ...]
    why: Why
    replaces: Lease | None = None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Put our record into a key of ours, by compare-and-swap on its mod revision, bound as it was."""

    lease: Lease
    record: LeaseRecord
    why: Why


@dataclass(frozen=True, slots=True)
class Drop:
    """Delete leases of ours that are too many (an acquisition whose answer was lost)."""

    leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """Restart the time of the etcd lease."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Keep:
    """Do nothing; look again at `until` (monotonic) unless woken. `lease` None: nothing is known yet."""

    lease: Lease | None
    until: float
    restart_needed: str = ""
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Yield:
    """Yield our subnet, which another node has: write nothing, keep the data plane, report the conflict."""

    subnet: SubnetKey
    owner: Lease | InvalidLease
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait, as no lease is available now; any change of the view may end it."""

    message: str


Step = Acquire | Rewrite | Drop | Renew | Keep | Yield | Wait


def next_step(own: OwnState, view: LeaseView, now: float, *, network: NetworkConfig, rng: Random) -> Step:
    """Decide by a view that was listed at least once; before that absence proves nothing."""
    if not view.in_sync:
        return Keep(own.held, math.inf)
    mine = _mine(own, view)
    if mine:
        return _with_lease(own, mine, view, now, network=network, rng=rng)
    if own.held is not None and own.in_use:
        return _without_lease(own, own.held, view, network=network, rng=rng)
    clone = _clone(own, view)
    if clone is not None:
        return Wait(_clone_message(own, clone))
    return _acquire_any(own, view, Why.NEW, network=network, rng=rng)


def duplicate_public_ip(own: OwnState, view: LeaseView) -> str:
    """Return one line naming both nodes if another node's lease has our public IP, else ""."""
    node, ip, ip6 = own.record.node_id, own.record.public_ip, own.record.public_ip6
    for lease in view.leases.values():
        record = lease.record
        if not record.node_id or record.node_id == node:
            continue
        shared = ip if record.public_ip == ip else None
        shared6 = ip6 if record.public_ip6 == ip6 else None
        if shared or shared6:
            theirs = f"node {record.node_id}, lease {lease.key}"
            return f"public IP {shared or shared6} is ours (node {node}) and also that of {theirs}"
    return ""


def _with_lease(
    own: OwnState, mine: list[Lease], view: LeaseView, now: float, *, network: NetworkConfig, rng: Random
) -> Step:
    lease = mine[0]
    why_not = _excluded(own, network, lease.key)
    if not own.settled and not lease.is_reservation:
        if why_not:
            return _acquire_any(own, view, Why.EXCLUDED, network=network, rng=rng, replaces=lease)
        wider = _with_family(own, lease, view, network=network, rng=rng)
        if wider is not None:
            return wider
    if _taken_by_clone(own, lease):
        return Yield(lease.key, lease, _clone_message(own, lease))
    if lease.record != own.record:
        return Rewrite(lease, own.record, Why.CHANGED)
    extra = tuple(other for other in mine[1:] if not other.is_reservation and other.record.node_id)
    if extra:
        return Drop(extra)
    if not lease.is_reservation and now >= own.renew_at:
        return Renew(lease)
    until = math.inf if lease.is_reservation else own.renew_at
    restart = f"{why_not}; restart flanpyd, then the containers, to move" if why_not else ""
    return Keep(lease, until, restart_needed=restart, conflict=_older_overlap(lease, view, network))


def _without_lease(
    own: OwnState, held: Lease, view: LeaseView, *, network: NetworkConfig, rng: Random
) -> Step:
    """Decide when our lease is gone while the data plane uses it."""
    text = str(held.key)
    garbage = next((invalid for invalid in view.invalid if invalid.key == text), None)
    if garbage is not None:
        lease = replace(held, mod_revision=garbage.mod_revision)
        return Rewrite(lease, own.record, Why.UNREADABLE)
    owner = _owner(held.key, view, network)
    if owner is not None:
        return Yield(
            held.key, owner, f"our subnet {held.key} now belongs to {_who(owner)}, lease {owner.key}"
        )
    why_not = _excluded(own, network, held.key)
    if not why_not:
        return Acquire((held.key,), Why.LOST)
    if own.settled:
        return Wait(
            f"lease {held.key} was lost and cannot be taken again: {why_not}; restart flanpyd to move"
        )
    return _acquire_any(own, view, Why.EXCLUDED, network=network, rng=rng)


def _acquire_any(
    own: OwnState,
    view: LeaseView,
    why: Why,
    *,
    network: NetworkConfig,
    rng: Random,
    replaces: Lease | None = None,
) -> Step:
    known = replaces or own.held
    previous = known.key if known is not None else own.previous
    ours = frozenset((str(replaces.key),) if replaces is not None else ())
    try:
        barred = [border.range for border in own.borders if not border.within]
        _refuse_if_all_is_barred(own, network)
        keys = candidates(network, view, previous=previous, rng=rng, own=ours, barred=barred)
    except LeaseError as error:
        return Wait(str(error))
    return Acquire(keys, why, replaces)


def _excluded(own: OwnState, network: NetworkConfig, key: SubnetKey) -> str:
    """Return why this key cannot be ours, "" if it can."""
    border = held_by(key, own.borders)
    return f"{key} would take the way to {border.what}" if border is not None else excluded(network, key)


def _refuse_if_all_is_barred(own: OwnState, network: NetworkConfig) -> None:
    """Raise LeaseError if any subnet we could lease would take over a path of this host."""
    for range_ in (network.network, network.network6):
        border = covering(range_, own.borders) if range_ is not None else None
        if border is not None:
            raise LeaseError(
                f"no free subnet: network {range_} lies in {border.what}; choose a network apart with flanpyctl"
                f" network set, or if it is meant set allowed-network to {range_}"
            )


def _mine(own: OwnState, view: LeaseView) -> list[Lease]:
    """Return our leases, the one to keep first: the held one, the previous one, a reservation, our own, flannel's.

    A reservation that holds a guarded range is not taken up; one that containers already use stays.
    """
    wanted = (own.held.key if own.held is not None else None, own.previous)

    def rank(lease: Lease) -> tuple[bool, bool, bool, bool, int]:
        return (
            lease.key != wanted[0],
            lease.key != wanted[1],
            not lease.is_reservation,
            not lease.record.node_id,
            lease.create_revision,
        )

    return sorted(
        (one for one in view.leases.values() if _is_mine(own, one) and not _is_trap(own, one)), key=rank
    )


def _is_trap(own: OwnState, lease: Lease) -> bool:
    if not lease.is_reservation or (own.held is not None and own.held.key == lease.key):
        return False
    return held_by(lease.key, own.borders) is not None


def _is_mine(own: OwnState, lease: Lease) -> bool:
    record = lease.record
    if record.node_id:
        return record.node_id == own.record.node_id and not _is_twins(own, lease)
    if own.held is not None and lease.key == own.held.key and record.public_ip == own.held.record.public_ip:
        return True
    if record.public_ip is None:
        return record.public_ip6 is not None and record.public_ip6 == own.record.public_ip6
    return record.public_ip == own.record.public_ip


def _is_twins(own: OwnState, lease: Lease) -> bool:
    """Report whether a lease is a duplicate's: our node id on a subnet we never held, with an address not ours."""
    known = {own.previous, own.held.key if own.held is not None else None}
    return lease.key not in known and not _same_address(lease.record, own.record)


def _same_address(a: LeaseRecord, b: LeaseRecord) -> bool:
    if a.public_ip is None and a.public_ip6 is None:
        return True  # reserved by node id alone
    return (a.public_ip, a.public_ip6) == (b.public_ip, b.public_ip6) or (
        a.public_ip is not None and a.public_ip == b.public_ip
    )


def _taken_by_clone(own: OwnState, lease: Lease) -> bool:
    """Report whether another host with our node id wrote its own address, foreign to us, into our key."""
    held = own.held
    if not own.settled or held is None or lease.key != held.key or lease.mod_revision == held.mod_revision:
        return False
    return not _same_address(lease.record, own.record) and not _same_address(lease.record, held.record)


def _clone(own: OwnState, view: LeaseView) -> Lease | None:
    node = own.record.node_id
    named = (lease for lease in view.leases.values() if node and lease.record.node_id == node)
    return next((lease for lease in named if not _is_trap(own, lease)), None)


def _clone_message(own: OwnState, lease: Lease) -> str:
    address = lease.record.public_ip or lease.record.public_ip6
    return (
        f"node id {own.record.node_id} is also used by the host at {address}, lease {lease.key}:"
        f" give each host its own --node-id, or release that lease if it is this host's old address"
    )


def _with_family(
    own: OwnState, lease: Lease, view: LeaseView, *, network: NetworkConfig, rng: Random
) -> Acquire | None:
    """Add the family that the network gained, if the subnet that containers may use stays the same."""
    key = lease.key
    gained = (network.network and not key.subnet) or (network.network6 and not key.subnet6)
    if not gained:
        return None
    step = _acquire_any(own, view, Why.FAMILY, network=network, rng=rng, replaces=lease)
    if not isinstance(step, Acquire):
        return None
    first = step.candidates[0]
    same = key.subnet in (None, first.subnet) and key.subnet6 in (None, first.subnet6)
    return replace(step, candidates=(first,)) if same else None


def _owner(key: SubnetKey, view: LeaseView, network: NetworkConfig) -> Lease | InvalidLease | None:
    """Return the lease that holds a part of `key`; a key with an unreadable value holds its subnet, too."""
    for lease in view.leases.values():
        if contested(network, key, lease.key):
            return lease
    for invalid in view.invalid:
        other = decode_key(invalid.key)
        if isinstance(other, SubnetKey) and contested(network, key, other):
            return invalid
    return None


def _older_overlap(lease: Lease, view: LeaseView, network: NetworkConfig) -> str:
    """Return one line if an overlapping lease is older than ours, "" if none is: peers keep the older one."""
    for other in view.leases.values():
        if other.create_revision < lease.create_revision and contested(network, lease.key, other.key):
            return f"our subnet {lease.key} overlaps the older lease {other.key} of {_who(other)}"
    return ""


def _who(lease: Lease | InvalidLease) -> str:
    if isinstance(lease, InvalidLease):
        return f"an unreadable key ({lease.reason})"
    return lease.record.owner
