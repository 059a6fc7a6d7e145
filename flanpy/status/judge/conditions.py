"""The list of conditions: judged by one rule each; readiness and phase follow from them alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum

from flanpy.model.condition import Condition, ConditionType
from flanpy.status.inputs import Inputs
from flanpy.status.judge import (
    addresses,
    cloud,
    encryption,
    firewall,
    foreign,
    host,
    lease,
    names,
    networks,
    offload,
    overlay,
    reach,
    tuning,
)
from flanpy.status.judge.causes import DEPENDS_ON


class Phase(Enum):
    """The daemon's phase, computed from conditions, never stored."""

    STARTING = "STARTING"
    """etcd was not reached yet."""
    LISTING = "LISTING"
    """the network config was not read yet."""
    ACQUIRING = "ACQUIRING"
    """there is no subnet yet."""
    SYNCING = "SYNCING"
    """there is a subnet, and the kernel is being prepared."""
    READY = "READY"
    """containers can use the overlay, and every condition is well."""
    DEGRADED = "DEGRADED"
    """some condition is bad; if readiness depends on it, containers cannot use the overlay."""
    DRAINED = "DRAINED"
    """the host gave its subnet back on request, and takes none until it is told to."""
    STOPPING = "STOPPING"
    """the daemon ends; packets go on."""


NEEDED_TO_BE_READY = (
    ConditionType.LEASE_VALID,
    ConditionType.LEASE_CONFLICT,
    ConditionType.UNDERLAY_READY,
    ConditionType.BACKEND_READY,
    ConditionType.FORWARDING_ENABLED,
    ConditionType.SUBNET_FILE_WRITTEN,
)
"""Ready means: containers of this host can use the overlay now. Neither an etcd outage nor a config that cannot be read
changes that, as the last good one stays in force (without any there is no backend); a subnet that peers send elsewhere
does. Nor does a peer that is not reached: this host does its part, and may not be the one at fault."""


def judge(inputs: Inputs, now: float, before: Iterable[Condition] = ()) -> tuple[Condition, ...]:
    """All conditions as they are this moment. `now` is wall time in seconds; `since` is kept from `before` where
    nothing changed."""
    known = {condition.type: condition for condition in before}
    return tuple(_dated(rule(inputs, now), known, now) for rule in RULES)


def is_ready(conditions: Iterable[Condition]) -> bool:
    needed = {c.type: c.healthy for c in conditions if c.type in NEEDED_TO_BE_READY}
    return len(needed) == len(NEEDED_TO_BE_READY) and all(needed.values())


def phase_of(conditions: Iterable[Condition], inputs: Inputs) -> Phase:
    """The phase, by the first thing that is still missing."""
    by_type = {condition.type: condition for condition in conditions}
    if inputs.stopping:
        return Phase.STOPPING
    if inputs.own.drained:
        return Phase.DRAINED
    if not is_ready(by_type.values()):
        if inputs.own.lease is not None:
            return (
                Phase.SYNCING
                if inputs.last is None or inputs.last.decision.desired is None
                else Phase.DEGRADED
            )
        if not inputs.store.contacted:
            return Phase.STARTING
        return Phase.LISTING if inputs.network is None else Phase.ACQUIRING
    return Phase.READY if all(condition.healthy for condition in by_type.values()) else Phase.DEGRADED


def _dated(condition: Condition, known: dict[ConditionType, Condition], now: float) -> Condition:
    old = known.get(condition.type)
    same = old is not None and (old.status, old.reason) == (condition.status, condition.reason)
    since = old.since if same and old is not None else now
    return replace(condition, since=since, depends_on=DEPENDS_ON.get(condition.type, ()))


RULES: tuple[Callable[[Inputs, float], Condition], ...] = (
    lease.datastore,
    lease.network,
    lease.lease,
    lease.conflict,
    lease.duplicate,
    overlay.underlay,
    overlay.backend,
    overlay.peers,
    lease.peer_leases,
    lease.mass_delete,
    foreign.foreign,
    host.forwarding,
    host.subnet_file,
    host.lease_file,
    host.listeners,
    host.restart,
    firewall.docker,
    firewall.firewall,
    reach.reachable,
    reach.mtu,
    tuning.neighbours,
    tuning.subnets,
    tuning.tuned,
    offload.offload,
    cloud.routes,
    names.served,
    networks.ready,
    addresses.unique,
    encryption.encrypted,
)
