"""The description of a fault: its family, needs, the hosts it may hurt, the reports it must cause; and what it acts on.

One value for every driver. Must not know any single fault, nor who strikes it when.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

from integration.etcd.api import ETCD_PREFIX, EtcdApi
from integration.etcd.cluster import Etcd
from integration.hosts.cables import Faults
from integration.hosts.guarded import GuardedLab
from integration.hosts.host import Host
from integration.net.namespaces import LabError
from integration.net.waiting import wait_until
from integration.truth.fabric import FABRICS, VXLAN, Fabric

HEALED_S = 10.0
"""How long a daemon may take to put right what it mends; nothing here measures speed."""

T = TypeVar("T")


class Family(Enum):
    """The origins of faults."""

    ETCD = "etcd"
    KERNEL = "kernel"
    NETWORK = "network"
    HOST = "host"
    OPERATOR = "operator"


class Part(Enum):
    """The parts that a fault has for itself while it lasts: no two faults work on the same part of a host at once."""

    ETCD = "etcd"
    DAEMON = "daemon"
    DEVICE = "device"
    NIC = "nic"


class Stage(Protocol):
    """A lab that faults can strike: one of this command, or one that was left up."""

    @property
    def hosts(self) -> tuple[Host, ...]: ...
    @property
    def faults(self) -> Faults: ...
    @property
    def etcd(self) -> Etcd: ...
    @property
    def switch(self) -> str: ...
    @property
    def directory(self) -> Path: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """The place of a fault: the host to look from, words that a finding must have, and a check of the fault itself."""

    host: Host
    words: tuple[str, ...]
    is_broken: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Tell:
    """The receivers of notices: the shadow checker, of a key that breaks the rules on purpose (`exempt`); the
    verdict, of what is wrong whatever comes after (`accuse`)."""

    exempt: Callable[[str], None] = lambda _key: None
    accuse: Callable[[str], None] = lambda _wrong: None


@dataclass(slots=True, kw_only=True)
class StrikeContext:
    """The objects of one stroke: a lab, the hosts that are struck, and dice. Without dice the first choice is taken."""

    lab: Stage
    struck: tuple[Host, ...]
    dice: Random | None = None
    lasts: float = 1.0
    fabric: Fabric = VXLAN
    tell: Tell = field(default_factory=Tell)
    ended: threading.Event = field(default_factory=threading.Event)
    what: str = ""

    @property
    def host(self) -> Host:
        """The host that is struck."""
        return self.struck[0] if self.struck else self.lab.hosts[0]

    @property
    def other(self) -> Host:
        """The second one, for faults between two; else some peer."""
        if len(self.struck) > 1:
            return self.struck[1]
        return next(host for host in self.lab.hosts if host is not self.host)

    @property
    def guarded(self) -> GuardedLab:
        """The lab, for faults of certificates, logins and spare members."""
        if not isinstance(self.lab, GuardedLab):
            raise LabError("this fault needs an etcd with certificates and logins (a GuardedLab)")
        return self.lab

    @property
    def api(self) -> EtcdApi:
        """A connection of this stroke's own to a member that answers now."""
        return self.lab.etcd.reachable()

    def choose(self, options: Sequence[T]) -> T:
        """Return one of these by the dice, the first without."""
        return self.dice.choice(options) if self.dice else options[0]

    def some(self, options: Sequence[T]) -> list[T]:
        """Return one, some or all of these by the dice, all without."""
        if not options:
            raise LabError(f"{self.host.name}: nothing stands there that could be struck")
        return self.dice.sample(options, self.dice.randint(1, len(options))) if self.dice else list(options)

    def between(self, least: float, most: float) -> float:
        """Return a number by the dice, the least without."""
        return self.dice.uniform(least, most) if self.dice else least

    def launch(self, host: Host, env: Mapping[str, str] | None = None) -> None:
        """Start a host's daemon as it was started before; does not wait."""
        host.daemon.relaunch(env=env)

    def accuse(self, wrong: str) -> None:
        """Report an act of the daemon that is wrong, whatever comes right in the calm."""
        self.tell.accuse(f"{self.what}: {wrong}")

    def pause(self, seconds: float) -> None:
        """Wait between two steps of a fault: how long is part of the fault, there is nothing to await."""
        self.ended.wait(seconds)


Strike = Callable[[StrikeContext], Iterator[Evidence | None]]
EVERY_FABRIC = frozenset(FABRICS)


@dataclass(frozen=True, slots=True)
class Setting:
    """The network config and the daemons' flags that a fault needs, beside so many hosts with a container each."""

    hosts: int = 3
    ipv6: bool = False
    backend: str = "vxlan"
    network: str = str(VXLAN.config["Network"])
    room: tuple[str, str] | None = None
    """SubnetMin and SubnetMax."""
    flags: tuple[str, ...] = ("--probe-interval=500ms", "--ip-masq")

    def config(self) -> dict[str, object]:
        """Return the network config for etcd."""
        config: dict[str, object] = {"Network": self.network, "Backend": {"Type": self.backend}}
        if self.ipv6:
            config |= {"EnableIPv6": True, "IPv6Network": "fd50:1::/48"}
        if self.room is not None:
            config |= {"SubnetMin": self.room[0], "SubnetMax": self.room[1]}
        return config


PLAIN = Setting()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault. `strike` strikes, yields while it lasts, and takes it back; what the daemon mends is left alone.

    `lasts` are seconds, from and to. `heals`: the daemon puts it right while nobody takes it back. `breaks`: packets
    from and to the hosts that it strikes may be lost; nobody else's ever may. `hosts` is how many it strikes, 0 for
    etcd's. `also` are further parts that nothing else works on meanwhile: of its hosts, of all if it strikes none.
    `fabrics` names the networks that have what it strikes, `setting` the lab that it needs to be seen in full.
    `problem` is the known problem (P01 to P32) that it is; `condition` and `alert` tell of that, "" where none does;
    `settle` is what to wait for before anybody can know. `hold` is for how long the etcd family's table holds it, in
    CI and in full; `serves`: etcd goes on serving the daemons meanwhile. `dice` is "" unless there is a reason why
    random runs must leave it out.
    """

    name: str
    title: str
    family: Family
    part: Part
    strike: Strike
    lasts: tuple[float, float] = (1, 8)
    heals: bool = False
    breaks: bool = True
    hosts: int = 1
    also: frozenset[Part] = frozenset()
    fabrics: frozenset[str] = EVERY_FABRIC
    setting: Setting = PLAIN
    problem: str = ""
    condition: str = ""
    alert: str = ""
    settle: str = "nothing"
    hold: tuple[float, float] | None = None
    serves: bool = False
    before: Strike | None = None
    """What has to be so before the fault, and is taken back when its cost is known."""
    dice: str = ""


@contextmanager
def struck(fault: Fault, lab: Stage, *, host: Host | None = None) -> Iterator[Evidence]:
    """Put one fault in place without dice; leaving the block takes it away, however the block was left."""
    fabric = fabric_of(lab)
    if fabric.name not in fault.fabrics:
        raise LabError(
            f"{fault.name} strikes {', '.join(sorted(fault.fabrics))} networks, this one is {fabric.name}"
        )
    first = host or lab.hosts[0]
    others = [each for each in lab.hosts if each is not first]
    hosts = () if fault.hosts == 0 else (first, *others[: fault.hosts - 1])
    context = StrikeContext(lab=lab, struck=hosts, lasts=fault.lasts[0], fabric=fabric)
    evidence: Evidence | None = None
    try:
        with within(fault.before or nothing, context), within(fault.strike, context) as evidence:
            yield evidence
    finally:
        if fault.heals and evidence is not None:
            wait_until(partial(_is_whole, evidence), f"{context.host.name} is healed", deadline=HEALED_S)


def _is_whole(evidence: Evidence) -> bool:
    try:
        return not evidence.is_broken()
    except (LabError, OSError):  # what is looked at comes and goes
        return False


def fabric_of(lab: Stage) -> Fabric:
    """Return the lab's network, by its config in etcd."""
    entry = lab.etcd.api.get(f"{ETCD_PREFIX}/config")
    if entry is None:
        raise LabError("there is no network config in etcd")
    return Fabric(json.loads(entry.value))


@contextmanager
def within(strike: Strike, context: StrikeContext) -> Iterator[Evidence]:
    """Strike as a context manager, which takes it back at its end."""
    steps = strike(context)
    found = next(steps)
    try:
        yield found or Evidence(context.host, (), lambda: False)
    finally:
        with suppress(StopIteration):
            next(steps)


def nothing(_context: StrikeContext) -> Iterator[Evidence | None]:
    """Do nothing: what most faults have to prepare."""
    yield None
