"""The conditions that must hold once the faults are over, checked again and again until they hold or the time is up.

Owns the order of the questions; each answers with what is wrong, a line each, and nothing when all is well.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from integration.etcd.api import Entry
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.net.namespaces import LabError
from integration.truth import foreign
from integration.truth.fabric import VXLAN, Fabric
from integration.truth.oracle import SUBNETS, leases_of, wrongs
from integration.truth.shadow import Shadow

CALM_S = 120.0
"""How long the lab may take to be well again. The product's longest pause is 30 s; on two cores with thirty others the
start of five daemons took 42 s. What is measured is how long it took, this only ends a run that hangs."""
POLL_S = 0.05


class Calm:
    """Judges one lab; made when all is well, to remember what must not change."""

    def __init__(self, lab: Lab, shadow: Shadow, fabric: Fabric = VXLAN) -> None:
        self._fabric = fabric
        self._lab = lab
        self._shadow = shadow
        self._foreign = {host.name: foreign.read(host) for host in lab.hosts}
        self.last_wrong: list[str] = []
        """The conditions that were the last to hold in the last calm."""
        self._subnets = {host.name: str(host.subnet_file.subnet) for host in lab.hosts}

    def wait(self, *, deadline: float = CALM_S) -> tuple[float, list[str]]:
        """Wait until all conditions hold; return the time it took, and what is still wrong when the time is up."""
        began = time.monotonic()
        self.last_wrong = []
        while wrong := self._wrong():
            self.last_wrong = wrong
            if time.monotonic() - began > deadline:
                return time.monotonic() - began, wrong
            time.sleep(POLL_S)
        return time.monotonic() - began, []

    def _wrong(self) -> list[str]:
        """Return the first kind of condition that does not hold: the later ones follow from it."""
        try:
            entries = self._entries()
            for question in (self._daemons, self._kernels, self._history, self._pings):
                if found := list(question(entries)):
                    return found
        except (LabError, OSError, ValueError) as error:  # what is looked at comes and goes
            return [str(error).partition("\n")[0]]
        return []

    def _entries(self) -> tuple[Entry, ...]:
        api = self._lab.etcd.reachable()
        try:
            return api.list(SUBNETS)
        finally:
            api.close()

    def _daemons(self, _entries: tuple[Entry, ...]) -> Iterator[str]:
        for host in self._lab.hosts:
            if not host.daemon.running:
                yield f"{host.name}: the daemon ended with {host.daemon.exit_code}: {host.daemon.log_tail(1)}"
            elif not host.daemon.is_ready():
                yield f"{host.name}: the daemon is not ready: {_reason(host)}"

    def _kernels(self, entries: tuple[Entry, ...]) -> Iterator[str]:
        leases = leases_of(entries)
        for host in self._lab.hosts:
            yield from wrongs(host, leases, self._fabric)
            if (subnet := str(host.subnet_file.subnet)) != self._subnets[host.name]:
                yield f"{host.name}: its subnet was {self._subnets[host.name]} and is {subnet}"

    def _history(self, entries: tuple[Entry, ...]) -> Iterator[str]:
        if not self._shadow.has_seen(entries):
            yield "the shadow checker has not seen every lease yet"

    def _pings(self, _entries: tuple[Entry, ...]) -> Iterator[str]:
        containers = self._lab.containers
        for one in containers:
            for other in containers:
                if one is not other and not one.ping(other).ok:
                    yield f"no ping from {one.name} to {other.name}"

    @property
    def broken(self) -> list[str]:
        """Return the broken rules that the shadow checker of the leases has seen."""
        return list(self._shadow.book.broken)

    def touched(self) -> list[str]:
        """Return the objects of others that have changed, a line each."""
        return [
            f"{host.name}: {line}"
            for host in self._lab.hosts
            for line in foreign.differences(self._foreign[host.name], foreign.read(host))
        ]


def _reason(host: Host) -> str:
    """Return what the daemon's /readyz says, or why it does not answer."""
    try:
        return " ".join(host.daemon.fetch("/readyz")[1].split())
    except OSError as error:
        return str(error)
