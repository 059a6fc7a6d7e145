"""Packet filter objects: chains of ours with their rules, the jumps into them, and what is known of the filters here.

One vocabulary for iptables (both kinds) and nftables: a rule is what it matches and what it does; `plan.filter_text`
says it in the tools' words. In iptables a chain of ours hangs in a table of the system's by a jump from a chain of the
kernel's or of Docker's; in nftables it is a base chain in a table of our own, and there are no jumps. Only nftables has
sets: that of the overlay's hosts is filled one address, one object, so that a lease costs one element.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from flanpy.errors import KernelCause
from flanpy.model.address import Family, IPAddress, IPNetwork

OVERLAY_MARK: Final = 0x1000000
"""Packet mark of what came through the overlay, for Docker's `bridge-accept-fwmark` (`0x1000000/0x1000000`)."""

NFT_TABLE: Final = "flanpy"
"""Our table in nftables, one in each family."""

MEMBERS: Final = "members"
"""The set of hosts' underlay addresses in our nftables table, one in each family."""

CHAIN_PREFIX: Final = "FLANPY-"
LEFTOVER_PREFIX: Final = "FLANNEL-"
LEFTOVER_TABLES: Final = {Family.IPV4: "flannel-ipv4", Family.IPV6: "flannel-ipv6"}
"""flannel's chains and nftables tables (pkg/trafficmngr); they go when a host is taken over."""

FIRST: Final = (1,)
"""Places of a jump that stands first in its chain, and nowhere else."""


class Flavour(Enum):
    """Which filter of the kernel a rule is in. The value is what people and `filter-backend` call it."""

    NFT = "nft"
    IPTABLES_NFT = "iptables-nft"
    IPTABLES_LEGACY = "iptables-legacy"


class FilterChoice(Enum):
    """The setting `filter-backend`."""

    AUTO = "auto"
    NFT = "nft"
    IPTABLES_NFT = "iptables-nft"
    IPTABLES_LEGACY = "iptables-legacy"
    OFF = "off"


class EncapsulationGuard(Enum):
    """The setting `encapsulation-guard`: whose encapsulated packets are dropped. STRANGERS includes CONTAINERS."""

    OFF = "off"
    CONTAINERS = "containers"
    STRANGERS = "strangers"


class FilterPhase(IntEnum):
    """Beside `objects.Phase`. A host is known before anything leads to it; a chain stands before a jump to it."""

    MEMBER = 4
    CHAIN = 20
    JUMP = 21


class Verdict(Enum):
    """What a rule does. KEEP_SOURCE settles that the source stays, before any masquerade elsewhere is asked."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    MASQUERADE = "masquerade"
    MASQUERADE_RANDOM = "masquerade at a random port"
    KEEP_SOURCE = "keep source"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Rule:
    """All that is given must match; `not_` turns one match round. "" and None match anything.

    `fresh`: the packet neither belongs nor relates to a known connection, nor was its destination translated.
    `ports`: it is UDP to one of these ports. `not_udp`: it is something else. `to_member`, `from_member`,
    `not_from_member`: by the set of the overlay's hosts. `to_host`: it is for this host, or for all in a network.
    `by_bridge`: it came in by a link that is a bridge. `no_way_back`, `off_link`: no route leads to its source, or to
    its destination, by the link that it came in by. `counted` names the counter of what matched. Of all these, iptables
    knows `fresh` and `ports`.
    """

    verdict: Verdict
    source: IPNetwork | None = None
    destination: IPNetwork | None = None
    in_link: str = ""
    out_link: str = ""
    not_source: bool = False
    not_destination: bool = False
    not_in_link: bool = False
    not_out_link: bool = False
    fresh: bool = False
    ports: tuple[int, ...] = ()
    not_udp: bool = False
    to_member: bool = False
    from_member: bool = False
    not_from_member: bool = False
    to_host: bool = False
    by_bridge: bool = False
    no_way_back: bool = False
    off_link: bool = False
    counted: str = ""


@dataclass(frozen=True, slots=True)
class OtherRule:
    """A rule in a chain of ours that is not of our making."""

    text: str


@dataclass(frozen=True, slots=True)
class FilterChain:
    """A chain of ours, whole. `hook` is `<type> hook <hook> priority <number>` of a base chain in nftables."""

    flavour: Flavour
    family: Family
    table: str
    name: str
    rules: tuple[Rule | OtherRule, ...] = ()
    hook: str = ""

    phase = FilterPhase.CHAIN

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("filter", self.flavour.value, int(self.family), self.table, self.name)

    @property
    def is_leftover(self) -> bool:
        """flannel's, not ours."""
        return self.name.startswith(LEFTOVER_PREFIX) or self.table in LEFTOVER_TABLES.values()


@dataclass(frozen=True, slots=True)
class FilterJump:
    """That `chain` jumps to a chain of ours. `places` are the positions of the rules that do so, from 1.

    `match` is what stands before `-j` in those rules; in most of ours there is nothing.
    """

    flavour: Flavour
    family: Family
    table: str
    chain: str
    target: str
    places: tuple[int, ...] = FIRST
    match: str = ""

    phase = FilterPhase.JUMP

    @property
    def key(self) -> tuple[str | int, ...]:
        rule = (self.chain, self.target, self.match)
        return ("filterjump", self.flavour.value, int(self.family), self.table, *rule)

    @property
    def rule(self) -> str:
        """What follows the chain's name in `-A <chain>`."""
        return f"{self.match} -j {self.target}".strip()

    @property
    def is_leftover(self) -> bool:
        """flannel's, not ours."""
        return self.target.startswith(LEFTOVER_PREFIX)


FilterObject = FilterChain | FilterJump


@dataclass(frozen=True, slots=True)
class FilterMember:
    """That the overlay's set of hosts in nftables has this underlay address."""

    address: IPAddress

    phase = FilterPhase.MEMBER

    @property
    def family(self) -> Family:
        return Family.of(self.address)

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("filtermember", str(self.address))


@dataclass(frozen=True, slots=True)
class DockerRules:
    """What Docker put into one iptables flavour of one family.

    `user_chain`: FORWARD goes through DOCKER-USER. `direct_drops`: packets to containers that come by another link
    than their bridge are dropped in raw/PREROUTING, or an engine is here that does so (28.0 and newer).
    """

    user_chain: bool = False
    direct_drops: bool = False


@dataclass(frozen=True, slots=True)
class FilterFacts:
    """What the packet filters of this host are like, as far as rules are planned from it.

    `tools` are the flavours that can be written here, `default` the one that `iptables` is. `docker` has an entry for
    each flavour and family in which Docker has rules; Docker's own nftables tables count as NFT. `foreign` has the
    families in which somebody else than we has rules. `problem` says, in one line for people, why the filters could not
    be read; `cause` says it for the choice of a cure.
    """

    tools: frozenset[Flavour] = frozenset()
    default: Flavour | None = None
    docker: frozenset[tuple[Flavour, Family, DockerRules]] = field(default_factory=frozenset)
    foreign: frozenset[Family] = frozenset()
    problem: str = ""
    cause: KernelCause = KernelCause.OTHER

    def docker_in(self, flavour: Flavour, family: Family) -> DockerRules | None:
        """Docker's rules there, None if it has none."""
        return next((rules for f, of, rules in self.docker if (f, of) == (flavour, family)), None)

    @property
    def docker_flavours(self) -> frozenset[Flavour]:
        """Where Docker has rules."""
        return frozenset(flavour for flavour, _, _ in self.docker)


@dataclass(frozen=True, slots=True)
class FilterPolicy:
    """What this host's operator decided about packet filters."""

    choice: FilterChoice = FilterChoice.AUTO
    forward: bool = True
    masquerade: bool = False
    random_ports: bool = True
    encapsulation: EncapsulationGuard = EncapsulationGuard.CONTAINERS
