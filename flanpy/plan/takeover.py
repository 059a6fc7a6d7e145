"""Leases of peers that suddenly lead to another host: by a key that was written again, or a node id at another address.

Every etcd writer can do that, and a host that moves does it too; the difference is whether the host of before is still
there, which is for others to find out. Owns the comparison. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flanpy.model.lease import Lease, LeaseRecord
from flanpy.plan.moving import Step


@dataclass(frozen=True, slots=True)
class Takeover:
    """A lease that leads to another host than the one of `was` did."""

    was: Lease
    now: Lease

    @property
    def message(self) -> str:
        """Return one line that names both hosts."""
        before, after = self.was.record.owner, self.now.record.owner
        return f"{self.now.key} leads to {after}; the host of before, {before}, still answers"


def takeovers(step: Step, gone: Mapping[str, Lease], node_id: str) -> Iterator[Takeover]:
    """Yield what changed hands by this step. `gone` are leases deleted lately, ours (`node_id`) is not told here."""
    nodes: dict[str, Lease] | None = None
    for key in step.keys:
        lease = step.now.leases.get(key)
        if lease is None or lease is step.before.leases.get(key):
            continue
        was = step.before.leases.get(key) or gone.get(key)
        if was is None and lease.record.node_id:
            nodes = _by_node(step) if nodes is None else nodes
            was = nodes.get(lease.record.node_id)
        if (
            was is not None
            and node_id not in {was.record.node_id, lease.record.node_id}
            and _elsewhere(was, lease)
        ):
            yield Takeover(was, lease)


def _by_node(step: Step) -> dict[str, Lease]:
    return {lease.record.node_id: lease for lease in step.before.leases.values() if lease.record.node_id}


def _elsewhere(was: Lease, now: Lease) -> bool:
    """Report whether packets go to another address, without the host of before having said that it leaves."""
    return not was.record.leaving and _addresses(was.record).isdisjoint(_addresses(now.record))


def _addresses(record: LeaseRecord) -> frozenset[object]:
    found = frozenset(one for one in (record.public_ip, record.public_ip6) if one is not None)
    return found or frozenset({None})
