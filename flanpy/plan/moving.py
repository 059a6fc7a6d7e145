"""A change of the network's backend under running hosts: what is kept of the old one, for which peers and how long.

Every host learns of the change at its own time. To keep both backends working all the time, a host

1. puts the new backend's objects beside the old, and reaches every peer by the backend of that peer's lease;
2. advertises the new backend only once that stands;
3. keeps the old one while any peer still advertises it, and a short time longer for packets in flight;
4. keeps reaching a peer by the old backend while that peer's lease names a backend that our config does not name yet.

WireGuard drops the packets of a host whose key it does not have. So a host that moves to it takes two steps for (2):
its lease announces the key beside the old backend, and names the new one `KNOWN` later. Until then all peers are
reached by the old one. Sessions begin in between, from the host with the smaller key: if both hosts begin at once, no
session stands for 5 s. On the way back the lease announces the key until nobody sends by it any more. A host that
cannot have the new backend does not begin; it is reached, and reaches the others, by the old one.

Pure; time comes in as monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from flanpy.model.encryption import ENCRYPTING
from flanpy.model.lease import Lease, LeaseView
from flanpy.model.network.network import NetworkConfig
from flanpy.model.world import Former
from flanpy.plan.admission import lease_type, lease_types

GRACE = 2.0
"""Seconds that the old backend outlives the last lease that advertises it. A pass takes milliseconds."""

KNOWN = 2.0
"""Seconds from the announcement of our key to the lease that has others send by it. They read it in milliseconds."""

GREETING = 1.0
"""Seconds from the announcement of our key to the first handshake."""

AHEAD = 2.0
"""Seconds that a peer's old lease is believed. Its host has read the same config from the same etcd as we will."""


@dataclass(frozen=True, slots=True)
class Moving:
    """This host's progress from one backend to the next. At rest there is no `former`.

    `stands`: the new backend's objects are in place, so our lease may advertise it. `idle_since`: the time since
    which no peer advertises the former one. `placed`: it stands, and peers are to learn our key first; `known_since`:
    the time since which they can.
    """

    former: Former | None = None
    stands: bool = True
    idle_since: float | None = None
    placed: bool = False
    known_since: float | None = None

    def begun(self, old: NetworkConfig | None, new: NetworkConfig, own: Lease | None) -> Moving:
        """Return the state after the config was changed from `old` to `new`."""
        if old is None or own is None or "alloc" in {old.backend_type, new.backend_type}:
            return Moving()
        if old.backend_type == new.backend_type:
            return self
        if self.former is not None and not self.stands:
            # nobody was told of `old` yet: what we have to keep is still what came before it
            taken_back = self.former.network.backend_type == new.backend_type
            former = replace(self.former, greets=False)
            return Moving() if taken_back else Moving(former, stands=False)
        return Moving(Former(old, own.record), stands=False)

    def built(self, network: NetworkConfig) -> Moving:
        """Return the state after the new backend's objects were put in place."""
        return replace(self, placed=True) if _by_key(network) else replace(self, stands=True)

    @property
    def awaits_key(self) -> bool:
        """Report whether peers are to learn our key before anything else."""
        return self.former is not None and self.placed and not self.stands

    def key_known(self, own: Lease | None, now: float) -> Moving:
        """Return the state after etcd showed our lease as this, at this time."""
        if self.former is None or not self.awaits_key:
            return self
        if own is None or not own.record.announced_key:
            return self
        if self.known_since is None:
            return replace(self, known_since=now)
        if now >= self.known_since + KNOWN:
            return replace(self, stands=True, placed=False, known_since=None)
        if now >= self.known_since + GREETING and not self.former.greets:
            return replace(self, former=replace(self.former, greets=True))
        return self

    def announces(self) -> bool:
        """Report whether our lease has our key of WireGuard beside what another backend needs."""
        return self.placed or (self.former is not None and _by_key(self.former.network))

    def is_unready(self, network: NetworkConfig) -> bool:
        """Report whether nothing may be sent by the new backend yet, to whomever."""
        return self.former is not None and not self.stands and _by_key(network)

    def told(self, own: Lease | None) -> Moving:
        """Return the state after etcd reported our lease; its record replaces the former one if of the same backend."""
        if self.former is None or own is None or own.record == self.former.record:
            return self
        if own.record.backend_type != lease_type(self.former.network.backend_type):
            return self
        return replace(self, former=replace(self.former, record=own.record))

    def after(self, peers: Iterable[Lease], now: float) -> Moving:
        """Return the state for these leases of others."""
        if self.former is None or not self.stands:
            return self
        if self.users(peers):
            return replace(self, idle_since=None)
        if self.idle_since is None:
            return replace(self, idle_since=now)
        return Moving() if now >= self.idle_since + GRACE else self

    def users(self, peers: Iterable[Lease]) -> list[Lease]:
        """Return the leases that still advertise the former backend."""
        if self.former is None:
            return []
        then = lease_type(self.former.network.backend_type)
        return [
            lease for lease in peers if lease.record.backend_type == then and not _is_empty_reservation(lease)
        ]

    def pause(self, now: float) -> float | None:
        """Return the seconds until the next check, None if only news can change anything."""
        due = [self.idle_since + GRACE] if self.idle_since is not None else []
        if self.known_since is not None and self.former is not None:
            due.append(self.known_since + (KNOWN if self.former.greets else GREETING))
        return max(0.0, min(due) - now) if due else None


@dataclass(frozen=True, slots=True)
class Step:
    """A change of the view of the leases, from `before` to `now`; `keys` are the leases that may have changed."""

    before: LeaseView
    now: LeaseView
    keys: Iterable[str]


@dataclass(frozen=True, slots=True)
class Ahead:
    """Leases that are shown in their previous form, by the text of their key, and until when."""

    leases: Mapping[str, Lease] = field(default_factory=lambda: MappingProxyType({}))
    until: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def after(self, step: Step, network: NetworkConfig, moving: Moving, now: float) -> Ahead:
        """Return the state after this change of the view, in this network."""
        types = lease_types(network, moving.former)
        if types is None:
            return Ahead()
        kept = dict(self.leases)
        until = {key: at for key, at in self.until.items() if at > now}
        if moving.is_unready(network):
            types -= {network.backend_type}
            until = dict.fromkeys(self.until, now + AHEAD)
        leases = step.now.leases
        for key in step.keys:
            was = step.before.leases.get(key)
            if was is not None and was.record.backend_type in types:
                kept[key], until[key] = was, now + AHEAD
        stay = [key for key in until if key in leases and leases[key].record.backend_type not in types]
        if not stay and not self.leases:
            return self
        return Ahead(
            MappingProxyType({key: kept[key] for key in stay}),
            MappingProxyType({key: until[key] for key in stay}),
        )

    def shown(self, view: LeaseView) -> LeaseView:
        """Return the view with those leases in their previous form; `view` itself if there are none."""
        if not self.leases:
            return view
        return replace(view, leases=MappingProxyType({**view.leases, **self.leases}))

    def pause(self, now: float) -> float | None:
        """Return the seconds until the first expires, None if there is none."""
        return max(0.0, min(self.until.values()) - now) if self.until else None


def _by_key(network: NetworkConfig) -> bool:
    return network.backend_type == ENCRYPTING


def _is_empty_reservation(lease: Lease) -> bool:
    return lease.is_reservation and lease.record.public_ip is None and lease.record.public_ip6 is None
