"""Metrics of leases: our own, everybody's, and how many subnets are left."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy.status.inputs import Inputs, OwnSource
from flanpy.status.metrics.families import gauge, gauges
from flanpy.store.own.allocation import usage


def leases(inputs: Inputs) -> Iterator[Metric]:
    yield from _own(inputs)
    view = inputs.last.world.view if inputs.last else None
    known = view.leases.values() if view else ()
    yield gauge("flanpy_leases", "Valid leases in etcd, ours among them.", len(known))
    yield gauge("flanpy_leases_reserved", "Leases that never expire.", sum(x.is_reservation for x in known))
    invalid = len(view.invalid) if view else 0
    yield gauge("flanpy_leases_invalid", "Keys that cannot be read as leases.", invalid)
    yield gauge("flanpy_store_revision", "etcd revision of the last news.", view.revision if view else 0)
    yield from _pools(inputs)


def _own(inputs: Inputs) -> Iterator[Metric]:
    own = inputs.own
    held = own.lease is not None
    yield gauge("flanpy_lease_held", "1 if this host holds a subnet.", held)
    confirmed = held and own.source is OwnSource.ETCD
    yield gauge("flanpy_lease_confirmed", "1 if etcd has confirmed the lease since start.", confirmed)
    if own.expires_at is not None:
        yield gauge("flanpy_lease_expiry_timestamp_seconds", "When our own lease ends.", own.expires_at)
        if own.ttl is not None:
            yield gauge("flanpy_lease_ttl_seconds", "How long a renewal makes our lease live.", own.ttl)
    yield gauge("flanpy_store_stale", "1 while the watch on etcd is lost.", inputs.store.stale)


def _pools(inputs: Inputs) -> Iterator[Metric]:
    """Yield the use of subnets, computed for the conditions; before that, computed here: slow for many leases."""
    if inputs.network is None or inputs.last is None:
        return
    values = []
    pools = inputs.pools or usage(inputs.network, inputs.last.world.view)
    for family, used in zip(("ipv4", "ipv6"), pools, strict=True):
        if used is not None:
            values += [((family, "taken"), float(used.taken)), ((family, "free"), float(used.free))]
    yield gauges("flanpy_subnets", "Subnets of the network, taken and free.", ("family", "state"), values)
