"""Keeps the observed objects in step with our own writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from flanpy.kernel.port import OpFailure
from flanpy.model.objects import OwnLink
from flanpy.model.ops import Op, Put
from flanpy.plan.ownership import Observed, forget_link


def track(observed: Observed, ops: Iterable[Op], failures: Sequence[OpFailure]) -> None:
    """Note every operation that succeeded. A failed one leaves its object unknown until the next read-back."""
    failed = {id(failure.op) for failure in failures}
    for op in ops:
        if id(op) in failed:
            observed.owned.pop(op.obj.key, None)
        elif isinstance(op, Put):
            observed.owned[op.obj.key] = op.obj
        elif isinstance(op.obj, OwnLink):
            forget_link(observed, op.obj.name)
        else:
            observed.owned.pop(op.obj.key, None)
