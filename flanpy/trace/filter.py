"""Packet filter rules in one vocabulary, whatever tool they were read with, and what a packet met of them. Values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from flanpy.model.address import Family, IPAddress
from flanpy.model.packet_filter import CHAIN_PREFIX, NFT_TABLE

NFT: Final = "nft"
"""The tool that reads and writes nftables; the others are kinds of iptables."""


IPIP: Final = "ipencap"
"""IP protocol 4, as /etc/protocols has it; tools also write `ipip`, and without that file the number."""


class Hook(Enum):
    """The points where a packet meets base chains (netfilter's hooks, without those of bridges)."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


class Field(Enum):
    """The property that a test looks at. OTHER is anything that this walk does not know."""

    SOURCE = "source"
    DESTINATION = "destination"
    IN_LINK = "in link"
    OUT_LINK = "out link"
    PROTOCOL = "protocol"
    PORT = "port"
    MARK = "mark"
    STATE = "state"
    SOURCE_TYPE = "source type"
    DESTINATION_TYPE = "destination type"
    OTHER = "other"


class Effect(Enum):
    """The effect of a rule on a packet that it matches."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"
    REWRITE_SOURCE = "rewrite source"
    KEEP_SOURCE = "keep source"
    REWRITE_DESTINATION = "rewrite destination"
    MARK = "mark"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Test:
    """One match: any of `values`, or none of them if `negated`. Marks are written `value/mask`, in decimal."""

    field: Field
    values: tuple[str, ...] = ()
    negated: bool = False

    __test__ = False  # pytest: not a case


@dataclass(frozen=True, slots=True)
class TracedRule:
    """`text` is the rule in its tool's words; `target` a chain, or the bits that MARK sets, as `value/mask`."""

    text: str
    effect: Effect
    tests: tuple[Test, ...] = ()
    target: str = ""
    packets: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A base chain has a hook; `policy` is what happens at its end."""

    name: str
    rules: tuple[TracedRule, ...] = ()
    hook: Hook | None = None
    priority: int = 0
    drops: bool = False
    is_nat: bool = False


@dataclass(frozen=True, slots=True)
class TracedTable:
    """All chains of one table, as read by `tool` (`iptables-nft`, `nft`, ...)."""

    tool: str
    name: str
    family: Family | None
    chains: Mapping[str, Chain] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection. "" is not known (protocol) or does not apply (links)."""

    source: IPAddress
    destination: IPAddress
    in_link: str = ""
    out_link: str = ""
    protocol: str = ""
    port: int = 0
    mark: int = 0
    local: frozenset[IPAddress] = frozenset()

    @property
    def family(self) -> Family:
        return Family.IPV4 if self.destination.version == 4 else Family.IPV6


@dataclass(frozen=True, slots=True)
class Met:
    """A rule that decided something, or the policy of a chain (`is_policy`), with the tool it was read with."""

    effect: Effect
    tool: str
    table: str
    chain: str
    text: str
    packets: int | None = None
    is_policy: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}"

    @property
    def where(self) -> str:
        """Tool, table and chain in one line."""
        return f"{self.tool} table {self.table}, chain {self.chain}"

    @property
    def is_dockers(self) -> bool:
        """By the name of its table or chain, or as raw PREROUTING, where Docker 28 guards containers' addresses."""
        named = "docker" in self.table.lower() or "docker" in self.chain.lower()
        return named or (self.table, self.chain) == ("raw", "PREROUTING")

    @property
    def is_ours(self) -> bool:
        """By the name of its chain, or of its table in nftables."""
        return self.chain.startswith(CHAIN_PREFIX) or (self.tool, self.table) == (NFT, NFT_TABLE)

    @property
    def rule(self) -> str:
        """Return the rule's text, and the number of packets that it has met."""
        return f"{self.text} (packets so far: {self.packets})" if self.packets else self.text


@dataclass(frozen=True, slots=True)
class Passage:
    """A hook passed or not: what dropped, accepted and rewrote the packet, and what may do so to some.

    `spared` would have accepted some packets before the drop.
    """

    mark: int = 0
    dropped: Met | None = None
    accepted: tuple[Met, ...] = ()
    rewritten: Met | None = None
    perhaps: tuple[Met, ...] = ()
    spared: tuple[Met, ...] = ()
