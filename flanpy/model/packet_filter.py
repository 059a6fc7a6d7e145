"""Packet filter objects: chains of ours with their rules, the jumps into them, and the facts about this host's filters.

One vocabulary for iptables (both kinds) and nftables: a rule has its matches and its verdict; `plan.filter_text`
translates it into the tools' syntax. In iptables a chain of ours hangs in a table of the system's by a jump from a
chain of the kernel's or of Docker's; in nftables it is a base chain in a table of our own, and there are no jumps.
Only nftables has sets: that of the overlay's hosts is filled one address, one object, so that a lease costs one
element.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from flanpy.errors import KernelCause
from flanpy.model.address import Family, IPAddress, IPNetwork
from flanpy.model.traits import Traits

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
    """The kernel's packet filter that a rule is in. The value is the word for people and for `filter-backend`."""

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
    """The setting `encapsulation-guard`: whose encapsulated packets are dropped. STRANGERS includes CONTAINERS.

    AUTO is STRANGERS on a host that is on a named network, whose layer 2 strangers would land on, else CONTAINERS.
    """

    AUTO = "auto"
    OFF = "off"
    CONTAINERS = "containers"
    STRANGERS = "strangers"


class FilterPhase(IntEnum):
    """Beside `put_order.PutOrder`. A host is known before anything leads to it; a chain stands before a jump to it."""

    MEMBER = 4
    CHAIN = 20
    JUMP = 21


class Verdict(Enum):
    """The action of a rule. KEEP_SOURCE settles that the source stays, before any masquerade rule elsewhere applies."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    MASQUERADE = "masquerade"
    MASQUERADE_RANDOM = "masquerade at a random port"
    KEEP_SOURCE = "keep source"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: every match given must hold; `not_` inverts a match. "" and None match anything.

    `fresh`: the packet neither belongs nor relates to a known connection, nor was its destination translated.
    `known`: it belongs or relates to a known connection. `ports`: it is UDP to one of these ports, with `tcp` TCP.
    `ipip`: it is IPv4 in IPv4 (protocol 4). `not_udp`, `not_ipip`: it is something else. `to_member`, `from_member`,
    `not_from_member`: by the set of the overlay's hosts. `to_host`: it is for this host, or for all in a network.
    `by_bridge`: it came in by a link that is a bridge. `no_way_back`, `off_link`: no route leads to its source, or to
    its destination, by the link that it came in by. `counted` names the counter of what matched. Of all these, iptables
    knows `fresh`, `known`, `ports` and `ipip`.
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
    known: bool = False
    ports: tuple[int, ...] = ()
    tcp: bool = False
    ipip: bool = False
    not_udp: bool = False
    not_ipip: bool = False
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
    """A foreign rule in a chain of ours."""

    text: str


class _FilterTraits(Traits):
    """Rules are ours by their names; without them traffic with peers goes on."""

    __slots__ = ()
    only_ours = True
    is_spare = True


@dataclass(frozen=True, slots=True)
class FilterChain(_FilterTraits):
    """A complete chain of ours. `hook` is `<type> hook <hook> priority <number>` of a base chain in nftables."""

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
        """Report whether it is flannel's, not ours."""
        return self.name.startswith(LEFTOVER_PREFIX) or self.table in LEFTOVER_TABLES.values()


@dataclass(frozen=True, slots=True)
class FilterJump(_FilterTraits):
    """A jump from `chain` to a chain of ours. `places` are the positions of the rules that jump there, from 1.

    `match` is the text before `-j` in those rules; empty in most of ours.
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
        """Return the rule's text after the chain's name in `-A <chain>`."""
        return f"{self.match} -j {self.target}".strip()

    @property
    def is_leftover(self) -> bool:
        """Report whether it is flannel's, not ours."""
        return self.target.startswith(LEFTOVER_PREFIX)


FilterObject = FilterChain | FilterJump


@dataclass(frozen=True, slots=True)
class FilterMember(_FilterTraits):
    """An underlay address in the overlay's set of hosts in nftables."""

    address: IPAddress

    phase = FilterPhase.MEMBER
    is_of_peer = True

    @property
    def family(self) -> Family:
        return Family.of(self.address)

    @property
    def key(self) -> tuple[str | int, ...]:
        return ("filtermember", str(self.address))


@dataclass(frozen=True, slots=True)
class DockerRules:
    """The rules that Docker put into one iptables flavour of one family.

    `user_chain`: FORWARD goes through DOCKER-USER. `direct_drops`: packets to containers that come by another link
    than their bridge are dropped in raw/PREROUTING, or an engine is here that does so (28.0 and newer).
    """

    user_chain: bool = False
    direct_drops: bool = False


@dataclass(frozen=True, slots=True)
class FilterFacts:
    """The facts about this host's packet filters from which rules are planned.

    `tools` are the flavours that can be written here, `default` the one that `iptables` is. `docker` has an entry for
    each flavour and family in which Docker has rules; Docker's own nftables tables count as NFT. `foreign` has the
    families in which others have rules. `problem` says, in one line for people, why the filters could not be read;
    `cause` is its kind, for the choice of a remedy.
    """

    tools: frozenset[Flavour] = frozenset()
    default: Flavour | None = None
    docker: frozenset[tuple[Flavour, Family, DockerRules]] = field(default_factory=frozenset)
    foreign: frozenset[Family] = frozenset()
    problem: str = ""
    cause: KernelCause = KernelCause.OTHER

    def docker_in(self, flavour: Flavour, family: Family) -> DockerRules | None:
        """Return Docker's rules there, None if it has none."""
        return next((rules for f, of, rules in self.docker if (f, of) == (flavour, family)), None)

    @property
    def docker_flavours(self) -> frozenset[Flavour]:
        """Return the flavours in which Docker has rules."""
        return frozenset(flavour for flavour, _, _ in self.docker)


@dataclass(frozen=True, slots=True)
class FilterPolicy:
    """The operator's settings for this host's packet filters."""

    choice: FilterChoice = FilterChoice.AUTO
    forward: bool = True
    masquerade: bool = False
    random_ports: bool = True
    encapsulation: EncapsulationGuard = EncapsulationGuard.AUTO
