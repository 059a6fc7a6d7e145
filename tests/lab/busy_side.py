"""The costs of a busy machine: how long programs waited for a CPU, and gaps of traffic beside the overlay."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from integration.hosts.host import Host
from integration.lab import Container, Probe

PRESSURE, STAT = Path("/proc/pressure/cpu"), Path("/proc/stat")
BUSY = 0.25
"""A machine on which some program waits for a larger share of the time is busy; on any other nothing is forgiven."""


@dataclass(slots=True)
class Spell:
    """A spell of time: its length, and how much of it some program waited for a CPU. Both in seconds."""

    seconds: float = 0.0
    waited: float = 0.0

    @property
    def stood_still(self) -> float:
        """Return the seconds that are the machine's own, 0 where it has CPU time."""
        return min(self.waited, self.seconds) if self.waited > BUSY * self.seconds else 0.0


@contextmanager
def spell() -> Iterator[Spell]:
    """Measure the block; the spell is known at its end."""
    found, began, before = Spell(), time.monotonic(), _waited()
    try:
        yield found
    finally:
        found.seconds, found.waited = time.monotonic() - began, _waited() - before


def beside_the_overlay(one: Host, two: Host) -> Probe:
    """Return a probe from host to host on the underlay: its longest gap is what the machine itself stood still."""
    ends = (Container(host.name, host.name, host.namespace, "", host.address, 1500) for host in (one, two))
    return Probe(*ends)


def _waited() -> float:
    """Return the seconds in which some program waited for a CPU, and those that the hypervisor took from us."""
    stolen = int(STAT.read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
    if not PRESSURE.exists():  # a kernel without CONFIG_PSI
        return stolen
    some = dict(pair.split("=") for pair in PRESSURE.read_text().splitlines()[0].split()[1:])
    return int(some["total"]) / 1e6 + stolen
