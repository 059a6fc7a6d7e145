"""Owns the words of injected problems: what an injection is, what lab it needs, and what it tells of itself.

It must not know flanpy's own modules: the names of conditions and alerts are written down as an operator reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from integration.etcd.cluster import Etcd
from integration.hosts.cables import Faults
from integration.hosts.host import Host

NETWORK = "10.50.0.0/16"


class Stage(Protocol):
    """What an injection acts on: a lab of this command, or one that was left up."""

    @property
    def hosts(self) -> tuple[Host, ...]: ...
    @property
    def faults(self) -> Faults: ...
    @property
    def etcd(self) -> Etcd: ...


class Course(Enum):
    """LASTS: it stays until it is cured. HEALS: flanpyd puts it right at once, and events tell of it."""

    LASTS = "lasts"
    HEALS = "heals"


@dataclass(frozen=True, slots=True)
class Ground:
    """The network config and the daemons' flags that an injection needs, beside so many hosts with a container each."""

    hosts: int = 3
    ipv6: bool = False
    backend: str = "vxlan"
    network: str = NETWORK
    room: tuple[str, str] | None = None
    """SubnetMin and SubnetMax."""
    flags: tuple[str, ...] = ("--probe-interval=500ms", "--ip-masq")

    def config(self) -> dict[str, object]:
        """The network config for etcd."""
        config: dict[str, object] = {"Network": self.network, "Backend": {"Type": self.backend}}
        if self.ipv6:
            config |= {"EnableIPv6": True, "IPv6Network": "fd50:1::/48"}
        if self.room is not None:
            config |= {"SubnetMin": self.room[0], "SubnetMax": self.room[1]}
        return config


PLAIN = Ground()


@dataclass(frozen=True, slots=True)
class Struck:
    """Where it was put: the host to look from, words that a finding must have, and a look at the fault by itself."""

    host: Host
    words: tuple[str, ...]
    is_broken: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One problem. `condition` and `alert` are "" where none tells of it; `first` is the id doctor must name first.

    `settle` says what to wait for before anybody can know of it.
    """

    id: str
    title: str
    strike: Callable[[Stage], AbstractContextManager[Struck]]
    course: Course = Course.LASTS
    condition: str = ""
    alert: str = ""
    settle: str = "nothing"
    ground: Ground = PLAIN

    @property
    def first(self) -> str:
        """What doctor's first finding must be."""
        return self.id
