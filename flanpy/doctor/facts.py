"""All that the checks look at: what the daemon says, what the kernel has, how etcd answers. Frozen, gathered once.

A source that could not be read has a line in `unread` and is empty here: no check may take that for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flanpy.doctor import document
from flanpy.doctor.document import Document
from flanpy.model.address import IPAddress, IPNetwork
from flanpy.model.condition import Condition
from flanpy.trace.hop import Walk
from flanpy.trace.seen import Device, Seen


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

    def part(self, resource: str, *keys: str) -> Document:
        """A mapping in one of the daemon's documents."""
        return document.part(self.answers.get(resource), *keys)

    def rows(self, resource: str, key: str) -> tuple[Document, ...]:
        """Mappings in a list of one of the daemon's documents."""
        return tuple(document.rows(self.answers.get(resource), key))

    def condition(self, name: str) -> Document | None:
        """The daemon's judgement if it is bad, None if it is good or not known."""
        for row in self.rows("status", "conditions"):
            if row.get("type") == name and row.get("healthy") is False:
                return row
        return None

    def judgement(self, name: str) -> Document | None:
        """The daemon's judgement, good or bad; None without a daemon."""
        return next((row for row in self.rows("status", "conditions") if row.get("type") == name), None)

    @property
    def links(self) -> tuple[Document, ...]:
        """The overlay's links as the daemon wants them."""
        return tuple(document.rows(self.part("status", "backend"), "links"))

    @property
    def overlay_links(self) -> tuple[str, ...]:
        """Their names; without a daemon those that look so."""
        named = tuple(name for link in self.links if (name := document.text(link, "name")))
        if named or self.answers.get("status") is not None:
            return named
        kinds = {"vxlan", "tun", "ipip"}
        return tuple(
            n for n, d in (self.devices or {}).items() if d.kind in kinds and n.startswith("flannel")
        )

    @property
    def underlay(self) -> str:
        """The name of the link that carries the overlay, "" if not known."""
        return document.text(self.part("status", "underlay"), "link")
