"""All that the checks look at: what the daemon says, what the kernel has, how etcd answers. Frozen, gathered once.

A source that could not be read has a line in `unread` and is empty here: no check may take that for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flanpy.api.events import DifferenceDocument, EventsDocument
from flanpy.api.leases import PeersDocument, SubnetsDocument
from flanpy.api.reading import read
from flanpy.api.status import (
    ConditionDocument,
    LinkDocument,
    StatusDocument,
    VerdictDocument,
    VerdictsDocument,
)
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.condition import Condition
from flanpy.trace.hop import Walk
from flanpy.trace.seen import Device, Seen

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSeen:
    """A route of any table but `local`; `destination` of a default route is the whole family."""

    destination: IPNetwork
    link: str = ""
    gateway: str = ""
    proto: str = ""
    metric: int = 0
    kind: str = "unicast"
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSeen:
    """One etcd endpoint. `skew` is how far its clock is ahead of ours in seconds, None where it did not tell.

    `version` is the member's own word, "" where it did not tell.
    """

    url: str
    problem: str = ""
    took: float = 0.0
    skew: float | None = None
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Settings that decide whether something is a fault."""

    masquerade: bool = False
    random_ports: bool = True
    tx_checksum: str = "auto"
    underlay_named: bool = False
    public_ip_named: bool = False
    etcd_user: str = ""
    stale: tuple[str, ...] = ()
    """Options whose value in the file is not the daemon's: `name: file says X, in force is Y`."""


@dataclass(frozen=True, slots=True)
class Traced:
    """One packet, what it could meet, and what it would."""

    seen: Seen
    walk: Walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`answers` are the daemon's documents by resource. `networks` and `own` are of the daemon, else of subnet.env."""

    now: float = 0.0
    answers: Mapping[str, Any] = field(default_factory=dict)
    daemon_problem: str = ""
    unread: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[IPNetwork, ...] = ()
    own: tuple[IPNetwork, ...] = ()
    env_text: str = ""
    env_mtu: int = 0
    env_own: tuple[IPNetwork, ...] = ()
    devices: Mapping[str, Device] | None = None
    addresses: Mapping[IPAddress, str] = field(default_factory=dict)
    routes: tuple[RouteSeen, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    checksums: Mapping[str, bool] = field(default_factory=dict)
    nameservers: tuple[IPAddress, ...] = ()
    insert_failed: int = 0
    endpoints: tuple[EndpointSeen, ...] = ()
    docker: Condition | None = None
    docker_after: tuple[str, ...] | None = None
    """Units that Docker's is ordered after; None without systemd or Docker."""
    traced: tuple[Traced, ...] = ()
    told: Told = Told()
    _read: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _document(self, resource: str, kind: type[T]) -> T:
        """Return the daemon's document, read once; an empty one if there is none."""
        if resource not in self._read:
            self._read[resource] = read(kind, self.answers.get(resource))
        found: T = self._read[resource]
        return found

    @property
    def has_status(self) -> bool:
        """Report whether the daemon told its status."""
        return self.answers.get("status") is not None

    @property
    def status(self) -> StatusDocument:
        return self._document("status", StatusDocument)

    @property
    def subnets(self) -> SubnetsDocument:
        return self._document("subnets", SubnetsDocument)

    @property
    def peers(self) -> PeersDocument:
        return self._document("peers", PeersDocument)

    @property
    def events(self) -> EventsDocument:
        return self._document("events", EventsDocument)

    @property
    def diff(self) -> DifferenceDocument:
        return self._document("diff", DifferenceDocument)

    @property
    def cluster(self) -> VerdictDocument:
        """The daemon's verdict on the cluster."""
        return self._document("verdict", VerdictsDocument).cluster

    def condition(self, name: str) -> ConditionDocument | None:
        """The daemon's judgement if it is bad, None if it is good or not known."""
        bad = (one for one in self.status.conditions if one.type == name and not one.healthy)
        return next(bad, None)

    def judgement(self, name: str) -> ConditionDocument | None:
        """The daemon's judgement, good or bad; None without a daemon."""
        return next((one for one in self.status.conditions if one.type == name), None)

    def reason(self, name: str) -> str:
        """The reason of the daemon's judgement if it is bad, else ""."""
        found = self.condition(name)
        return "" if found is None else found.reason

    @property
    def here(self) -> str:
        """This host's name for people, "" if the daemon did not tell it."""
        return self.status.host or self.status.node_id

    @property
    def links(self) -> tuple[LinkDocument, ...]:
        """The overlay's links as the daemon wants them."""
        return self.status.backend.links if self.status.backend is not None else ()

    @property
    def overlay_links(self) -> tuple[str, ...]:
        """Their names; without a daemon those that look so."""
        named = tuple(link.name for link in self.links if link.name)
        if named or self.has_status:
            return named
        kinds = {"vxlan", "tun", "ipip", "wireguard"}
        return tuple(
            n for n, d in (self.devices or {}).items() if d.kind in kinds and n.startswith("flannel")
        )

    @property
    def underlay(self) -> str:
        """The name of the link that carries the overlay, "" if not known."""
        return self.status.underlay.link if self.status.underlay is not None else ""
