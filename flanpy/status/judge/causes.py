"""The likely causes among conditions: an unhealthy one may explain another, so that causes are shown first.

Pure. Only an unhealthy condition explains another; the relation has no circle, which a test holds it to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from flanpy.model.condition import Condition, ConditionType

_C = ConditionType

DEPENDS_ON: Mapping[ConditionType, tuple[ConditionType, ...]] = MappingProxyType(
    {
        _C.DATASTORE_REACHABLE: (_C.UNDERLAY_READY,),  # etcd on this host itself is not lost with the link
        _C.NETWORK_CONFIG_VALID: (_C.DATASTORE_REACHABLE,),
        _C.LEASE_VALID: (
            _C.DATASTORE_REACHABLE,
            _C.NETWORK_CONFIG_VALID,
            _C.UNDERLAY_READY,
            _C.LEASE_CONFLICT,
            _C.SUBNETS_AVAILABLE,
            _C.DUPLICATE_PUBLIC_IP,
        ),
        _C.BACKEND_READY: (
            _C.NETWORK_CONFIG_VALID,
            _C.LEASE_VALID,
            _C.UNDERLAY_READY,
            _C.FOREIGN_CONFLICT,
            _C.CLOUD_ROUTES,
        ),
        _C.PEERS_PROGRAMMED: (
            _C.DATASTORE_REACHABLE,
            _C.BACKEND_READY,
            _C.NEIGHBOURS_FIT,
            _C.FOREIGN_CONFLICT,
        ),
        _C.ENCRYPTED: (_C.UNDERLAY_READY, _C.BACKEND_READY, _C.PEERS_PROGRAMMED),
        _C.CLOUD_ROUTES: (_C.DATASTORE_REACHABLE, _C.LEASE_VALID, _C.UNDERLAY_READY),
        _C.NETWORKS_READY: (_C.DATASTORE_REACHABLE, _C.LEASE_VALID, _C.UNDERLAY_READY),
        _C.FORWARDING_ENABLED: (_C.BACKEND_READY,),
        _C.SUBNET_FILE_WRITTEN: (_C.LEASE_VALID, _C.BACKEND_READY),
        _C.DOCKER_CONSISTENT: (_C.SUBNET_FILE_WRITTEN, _C.FIREWALL_READY),
        _C.MTU_CONSISTENT: (_C.DOCKER_CONSISTENT,),
        _C.PEERS_REACHABLE: (
            _C.LEASE_CONFLICT,
            _C.DUPLICATE_PUBLIC_IP,
            _C.UNDERLAY_READY,
            _C.BACKEND_READY,
            _C.PEERS_PROGRAMMED,
            _C.ENCRYPTED,
            _C.PEER_LEASES_VALID,
            _C.FOREIGN_CONFLICT,
            _C.FIREWALL_READY,
            _C.NEIGHBOURS_FIT,
            _C.HOST_TUNED,
            _C.CLOUD_ROUTES,
        ),
    }
)


def in_order(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Unhealthy ones first, causes before what they explain; otherwise in the order given."""
    given = tuple(conditions)
    bad = {condition.type: condition for condition in given if not condition.healthy}
    ordered: dict[ConditionType, Condition] = {}
    for condition in bad.values():
        _take(condition, bad, ordered)
    return (*ordered.values(), *(condition for condition in given if condition.healthy))


def _take(
    condition: Condition,
    bad: Mapping[ConditionType, Condition],
    ordered: dict[ConditionType, Condition],
) -> None:
    """Put it behind its causes. No closure: one that calls itself is a cycle, left to the collector each time."""
    if condition.type in ordered:
        return
    for cause in condition.depends_on:
        if cause in bad:
            _take(bad[cause], bad, ordered)
    ordered[condition.type] = condition


def root_causes(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Unhealthy conditions that no other unhealthy one explains."""
    bad = {condition.type: condition for condition in conditions if not condition.healthy}
    return tuple(condition for condition in bad.values() if bad.keys().isdisjoint(condition.depends_on))
