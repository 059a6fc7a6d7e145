"""Events from the daemons' logs that belong on a timeline. Only for the picture: no verdict rests on them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from integration.hosts.host import Host
from integration.hosts.lab import Lab

SHOWN = {
    "pass_applied": "repair",
    "setting_restored": "repair",
    "data_plane_restored": "repair",
    "lease_acquired": "lease",
    "lease_rewritten": "lease",
    "lease_lost": "lease",
    "mass_delete_held": "brake",
    "lease_store_failed": "etcd away",
    "lease_store_recovered": "etcd back",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something a host's daemon told at a time (monotonic seconds)."""

    host: str
    at: float
    what: str
    event: str


def marks_of(lab: Lab) -> tuple[Mark, ...]:
    """Every mark of every host, of all its starts."""
    return tuple(mark for host in lab.hosts for mark in _marks(host))


def _marks(host: Host) -> Iterator[Mark]:
    offset = time.time() - time.monotonic()
    for line in host.daemon.log_lines(all_starts=True):
        event, told = str(line.get("event")), line.get("ts")
        if event in SHOWN and isinstance(told, str):
            at = datetime.fromisoformat(told).timestamp() - offset
            yield Mark(host.name, at, SHOWN[event], event)
