"""Metrics of health: who we are, phase, readiness and conditions, as the snapshot judges them."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from flanpy import __version__
from flanpy.plan.host_names import own_name
from flanpy.status.board import StatusSnapshot
from flanpy.status.inputs import Inputs
from flanpy.status.judge.conditions import Phase
from flanpy.status.metrics.families import gauge, gauges, info


def health(snapshot: StatusSnapshot) -> Iterator[Metric]:
    yield info("flanpy_build", "Version of flanpy.", version=__version__)
    yield info("flanpy_node", "This host: node id, subnet, public IP, backend.", **_identity(snapshot.inputs))
    yield gauge("flanpy_ready", "1 if containers of this host can use the overlay now.", snapshot.ready)
    phases = (((each.value,), float(each is snapshot.phase)) for each in Phase)
    yield gauges("flanpy_phase", "1 for the phase the daemon is in.", ("phase",), phases)
    yield from _conditions(snapshot)


def _conditions(snapshot: StatusSnapshot) -> Iterator[Metric]:
    yield gauges(
        "flanpy_condition_healthy",
        "1 if a condition is as it should be.",
        ("condition",),
        (((each.type.value,), float(each.healthy)) for each in snapshot.conditions),
    )
    yield gauges(
        "flanpy_condition_reason_info",
        "1 for the status and the reason that a condition has.",
        ("condition", "status", "reason"),
        (((each.type.value, each.status.value, each.reason), 1.0) for each in snapshot.conditions),
    )
    yield gauges(
        "flanpy_condition_last_change_timestamp_seconds",
        "When a condition changed last.",
        ("condition",),
        (((each.type.value,), each.since) for each in snapshot.conditions),
    )


def _identity(inputs: Inputs) -> dict[str, str]:
    last, lease = inputs.last, inputs.own.lease
    record = lease.record if lease is not None else None
    public = (record.public_ip or record.public_ip6) if record is not None else None
    network = inputs.network
    return {
        "node": own_name(last.world) if last is not None else (record.node_id if record else ""),
        "node_id": last.world.policy.node_id if last is not None else (record.node_id if record else ""),
        "subnet": str((lease.key.subnet or lease.key.subnet6) if lease is not None else ""),
        "public_ip": str(public or ""),
        "backend": network.backend_type if network is not None else "",
    }
