"""The outcome of one reconcile pass: its input, its operations, what failed, and what it put right.

Owns the count of repairs and the canonical log line of a pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from flanpy.kernel.port import OpFailure
from flanpy.log import get_logger
from flanpy.model.address import IPNetwork
from flanpy.model.lease import Lease
from flanpy.model.objects import ExtensionPeer, HostSysctl, KernelObject, Key, Route
from flanpy.model.ops import Delete, Op, Put
from flanpy.model.world import World
from flanpy.plan.admission import Admission
from flanpy.plan.decision import Decision
from flanpy.plan.ownership import is_of_named_network
from flanpy.plan.render import render

log = get_logger()


@dataclass(frozen=True, slots=True)
class Pass:
    """The input and the outcome of one reconcile pass. `repairs` counts, by kind, the objects that others had changed.

    `added` are the subnets whose route the pass installed, where none of ours stood before.
    `unreached` are peers that the backend has no path to from here.
    """

    number: int
    world: World
    admission: Admission
    decision: Decision
    unreached: tuple[Lease, ...] = ()
    added: tuple[IPNetwork, ...] = ()
    failures: tuple[OpFailure, ...] = ()
    resync: str = ""
    repairs: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    took: float = 0.0
    error: str = ""

    @property
    def kept_from_peers(self) -> bool:
        """Report whether an operation failed that traffic with peers always needs: filter rules, offloads and named
        networks do not count."""
        return any(
            not failure.op.obj.is_spare and not is_of_named_network(failure.op.obj)
            for failure in self.failures
        )


def repairs_of(
    ops: Iterable[Op], failures: Iterable[OpFailure], believed: Mapping[Key, KernelObject]
) -> dict[str, int]:
    """Count, by kind, the operations that restored objects we believed to exist, or removed objects we never put."""
    failed = {id(failure.op) for failure in failures}
    counts: Counter[str] = Counter()
    for op in ops:
        key = op.obj.key
        known = believed.get(key)
        undone = known == op.obj if isinstance(op, Put) else known is None
        if undone and id(op) not in failed:
            counts[str(key[0])] += 1
    return dict(counts)


def added_ways(
    ops: Iterable[Op], failures: Iterable[OpFailure], believed: Mapping[Key, KernelObject]
) -> tuple[IPNetwork, ...]:
    """Return the subnets that got their first route (or command); what others removed and we restored is not new."""
    failed = {id(failure.op) for failure in failures}
    news = (
        op.obj
        for op in ops
        if isinstance(op, Put) and op.previous is None and isinstance(op.obj, Route | ExtensionPeer)
        if op.obj.key not in believed and id(op) not in failed
    )
    return tuple(subnet for obj in news for subnet in obj.destinations)


def report(outcome: Pass) -> None:
    """Log one canonical line for each pass that did something.

    A pass whose operations all fail changes nothing. The failures have a line of their own, and retries come by the
    dozen: such a pass is for debugging.
    """
    ops = outcome.decision.ops
    if not ops:
        return
    reason, took_ms = outcome.resync or "news", round(outcome.took * 1000, 1)
    if len(outcome.failures) == len(ops):
        log.debug("pass_failed", pass_id=outcome.number, reason=reason, count=len(ops), took_ms=took_ms)
        return
    log.info(
        "pass_applied",
        pass_id=outcome.number,
        reason=reason,
        adds=sum(isinstance(op, Put) and op.previous is None for op in ops),
        replaces=sum(isinstance(op, Put) and op.previous is not None for op in ops),
        deletes=sum(isinstance(op, Delete) for op in ops),
        count=len(outcome.failures),
        took_ms=took_ms,
    )
    if "sysctl" in outcome.repairs:
        for op in ops:
            if isinstance(op.obj, HostSysctl):
                log.warning("setting_restored", op=render(op), reason="somebody changed it on this host")
