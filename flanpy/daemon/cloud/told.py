"""One status of all providers: more than one has routes of ours while a network moves from one to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from flanpy.model.cloud import CloudStatus


def told(statuses: Mapping[str, CloudStatus], backend: str) -> CloudStatus | None:
    """Return the status with trouble, that of the network's own `backend` first; counts are of all providers."""
    if not statuses:
        return None
    ordered = sorted(statuses.values(), key=lambda one: (one.backend != backend, one.backend))
    first = next((one for one in ordered if _troubled(one)), ordered[0])
    calls: Counter[tuple[str, str]] = Counter()
    changes: Counter[str] = Counter()
    for one in ordered:
        calls.update(one.calls)
        changes.update(one.changes)
    return replace(first, calls=MappingProxyType(dict(calls)), changes=MappingProxyType(dict(changes)))


def _troubled(status: CloudStatus) -> bool:
    return status.trouble is not None or bool(status.plan.foreign) or bool(status.denied)
