"""What a fault is here: its family, what it needs for itself, whom it may hurt; and one blow of a schedule.

Must not know any single fault (those are in network, kernel, host and etcd) nor when it strikes (schedule).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from random import Random

from integration.etcd.api import EtcdApi
from integration.hosts.host import Host
from integration.hosts.lab import Lab
from integration.truth.fabric import FABRICS, VXLAN, Fabric


class Family(Enum):
    """Where faults come from."""

    ETCD = "etcd"
    KERNEL = "kernel"
    NETWORK = "network"
    HOST = "host"
    OPERATOR = "operator"


class Part(Enum):
    """What a fault has for itself while it lasts: no two faults work on the same part of a host at once."""

    ETCD = "etcd"
    DAEMON = "daemon"
    DEVICE = "device"
    NIC = "nic"


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault of a schedule; seconds count from the beginning of its storm."""

    storm: int
    at: float
    lasts: float
    kind: str
    hosts: tuple[str, ...] = ()
    seed: int = 0

    @property
    def ends(self) -> float:
        """When it is taken back."""
        return self.at + self.lasts

    def __str__(self) -> str:
        where = " ".join(self.hosts)
        return (
            f"storm {self.storm} +{self.at:5.2f} s for {self.lasts:5.2f} s  {self.kind:24} {where}".rstrip()
        )


@dataclass(frozen=True, slots=True)
class Tell:
    """Who is to know: the shadow checker of a key that breaks the rules on purpose (`exempt`), the verdict of
    what is wrong whatever comes after (`accuse`)."""

    exempt: Callable[[str], None]
    accuse: Callable[[str], None]


class Ground:
    """What a blow has to do with: the lab, its hosts, dice of its own."""

    def __init__(
        self,
        lab: Lab,
        blow: Blow,
        *,
        tell: Tell,
        ended: threading.Event,
        fabric: Fabric = VXLAN,
    ) -> None:
        self.lab = lab
        self.fabric = fabric
        self.blow = blow
        self.random = Random(blow.seed)
        self.tell = tell
        self._ended = ended

    @property
    def host(self) -> Host:
        """The host that is struck."""
        return self.lab.host(self.blow.hosts[0])

    @property
    def other(self) -> Host:
        """The second one, for faults between two."""
        return self.lab.host(self.blow.hosts[1])

    def launch(self, host: Host, env: Mapping[str, str] | None = None) -> None:
        """Start the daemon again; does not wait."""
        launch(host, env)

    def accuse(self, wrong: str) -> None:
        """Tell of what flanpy did and must not do, whatever comes right in the calm."""
        self.tell.accuse(f"{self.blow}: {wrong}")

    def pause(self, seconds: float) -> None:
        """Between two steps of a fault that has several: how long is part of the fault, there is nothing to await."""
        self._ended.wait(seconds)

    def api(self) -> EtcdApi:
        """An own connection to a member that answers."""
        return self.lab.etcd.reachable()


EVERY_FABRIC = frozenset(FABRICS)
Strike = Callable[[Ground], Iterator[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault. `strike` strikes, yields while it lasts, and takes it back; what flanpy mends is left alone.

    `breaks` is whether packets from and to the hosts that it strikes may be lost; nobody else's ever may.
    `also` are further parts that nothing else works on meanwhile: of its hosts, of all if it strikes none.
    `fabrics` names the networks that have what it strikes.
    """

    name: str
    family: Family
    part: Part
    strike: Strike
    lasts: tuple[float, float]
    hosts: int = 1
    breaks: bool = True
    also: frozenset[Part] = frozenset()
    fabrics: frozenset[str] = EVERY_FABRIC


def own_flags(host: Host) -> tuple[str, ...]:
    """What chaos starts a daemon with: its Docker settings are a file that nobody asked to be touched."""
    return (f"--docker-config-file={host.directory / 'daemon.json'}",)


def launch(host: Host, env: Mapping[str, str] | None = None) -> None:
    """Start a host's daemon as chaos does."""
    host.daemon.launch(*own_flags(host), env=env)
