"""Packet filter rules in one vocabulary, whatever tool they were read with, and a packet's way through them. Pure.

A test that cannot be decided for the packet (`-p tcp` where only addresses are known, a set, a limit) is SOME: the rule
takes some packets of that kind and not others. Such a rule never ends the walk; if it would drop or rewrite it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from ipaddress import ip_network
from typing import Final

from flanpy.model.address import Family, IPAddress

_DEEPEST: Final = 32
"""Chains cannot jump deeper in the kernel (NFT_JUMP_STACK_SIZE is 16); what is read may be nonsense."""


class Hook(Enum):
    """Where a packet meets base chains (netfilter's hooks, without those of bridges)."""

    PREROUTING = "prerouting"
    INPUT = "input"
    FORWARD = "forward"
    OUTPUT = "output"
    POSTROUTING = "postrouting"


class Field(Enum):
    """What a test looks at. OTHER is anything that this walk does not know."""

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
    """What a rule does with a packet that it matches."""

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


class Truth(Enum):
    """Whether a packet matches. A negation turns round all but SOME."""

    NO = 0
    SOME = 1
    YES = 2


@dataclass(frozen=True, slots=True)
class Test:
    """One match: any of `values`, or none of them if `negated`. Marks are written `value/mask`, in decimal."""

    field: Field
    values: tuple[str, ...] = ()
    negated: bool = False

    __test__ = False  # pytest: not a case


@dataclass(frozen=True, slots=True)
class Rule:
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
    rules: tuple[Rule, ...] = ()
    hook: Hook | None = None
    priority: int = 0
    drops: bool = False
    is_nat: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """All chains of one table, as read by `tool` (`iptables-nft`, `nft`, ...)."""

    tool: str
    name: str
    family: Family | None
    chains: Mapping[str, Chain] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.tool} table {self.name}"


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
    """A rule or policy that decided something; `where` names tool, table and chain."""

    effect: Effect
    where: str
    text: str
    packets: int | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}"

    @property
    def rule(self) -> str:
        """What it says, and how many packets it has met."""
        return f"{self.text} (packets so far: {self.packets})" if self.packets else self.text


@dataclass(frozen=True, slots=True)
class Passage:
    """A hook passed or not: what dropped, accepted and rewrote the packet, and what may do so to some."""

    mark: int = 0
    dropped: Met | None = None
    accepted: tuple[Met, ...] = ()
    rewritten: Met | None = None
    perhaps: tuple[Met, ...] = ()


def passage(tables: Iterable[Table], hook: Hook, packet: Packet) -> Passage:
    """Every base chain at the hook, by priority. The first that settles a connection's source settles it for all."""
    bases = [
        (chain.priority, number, table, chain)
        for number, table in enumerate(tables)
        if table.family in {None, packet.family}
        for chain in table.chains.values()
        if chain.hook is hook
    ]
    so_far = Passage(mark=packet.mark)
    kept = False
    for _, _, table, chain in sorted(bases, key=lambda base: base[:2]):
        if chain.is_nat and (kept or so_far.rewritten):
            continue
        walk = _Walk(table, replace(packet, mark=so_far.mark))
        end = walk.through(chain)
        so_far = replace(so_far, mark=walk.packet.mark, perhaps=(*so_far.perhaps, *walk.perhaps))
        match end.effect if end else None:
            case Effect.DROP:
                return replace(so_far, dropped=end)
            case Effect.KEEP_SOURCE:
                kept = True
            case Effect.REWRITE_SOURCE | Effect.REWRITE_DESTINATION:
                so_far = replace(so_far, rewritten=end)
            case Effect.ACCEPT if end:
                so_far = replace(so_far, accepted=(*so_far.accepted, end))
    return so_far


_CALLS: Final = frozenset({Effect.JUMP, Effect.GOTO})
_ENDS: Final = frozenset(
    {Effect.ACCEPT, Effect.DROP, Effect.REWRITE_SOURCE, Effect.KEEP_SOURCE, Effect.REWRITE_DESTINATION}
)
_TELL_PERHAPS: Final = frozenset({Effect.DROP, Effect.REWRITE_SOURCE, Effect.REWRITE_DESTINATION})


class _Walk:
    """Through one table. `packet` gains marks on the way."""

    def __init__(self, table: Table, packet: Packet) -> None:
        self.packet = packet
        self.perhaps: list[Met] = []
        self._table = table

    def through(self, base: Chain) -> Met | None:
        """What ended it there; None for the end of a chain that accepts."""
        end = self._chain(base, Truth.YES, 0)
        if end is None and base.drops:
            return self._met(base, Effect.DROP, "policy drop")
        return end

    def _chain(self, chain: Chain, surely: Truth, depth: int) -> Met | None:
        """What ended the walk; None if it goes on in the chain that this one was called from."""
        for rule in chain.rules if depth < _DEEPEST else ():
            truth = min(surely, matches(rule.tests, self.packet), key=lambda one: one.value)
            if truth is Truth.NO:
                continue
            if rule.effect in _CALLS:
                end = self._below(rule, truth, depth)
                if end is not None or (rule.effect is Effect.GOTO and truth is Truth.YES):
                    return end
            elif truth is Truth.SOME:
                self._note(chain, rule)
            elif rule.effect in _ENDS:
                return self._met(chain, rule.effect, rule.text, rule.packets)
            elif rule.effect is Effect.RETURN:
                return None
            elif rule.effect is Effect.MARK:
                self.packet = replace(self.packet, mark=_marked(self.packet.mark, rule.target))
        return None

    def _note(self, chain: Chain, rule: Rule) -> None:
        if rule.effect in _TELL_PERHAPS:
            self.perhaps.append(self._met(chain, rule.effect, rule.text, rule.packets))

    def _below(self, rule: Rule, truth: Truth, depth: int) -> Met | None:
        target = self._table.chains.get(rule.target)
        return self._chain(target, truth, depth + 1) if target else None

    def _met(self, chain: Chain, effect: Effect, text: str, packets: int | None = None) -> Met:
        return Met(effect, f"{self._table.label}, chain {chain.name}", text, packets)


def _marked(mark: int, target: str) -> int:
    value, mask = map(int, target.split("/"))
    return (mark & ~mask) ^ value


def matches(tests: Sequence[Test], packet: Packet) -> Truth:
    """The weakest of all tests."""
    return min((_one(test, packet) for test in tests), key=lambda truth: truth.value, default=Truth.YES)


def _one(test: Test, packet: Packet) -> Truth:
    truth = _plain(test, packet)
    if not test.negated or truth is Truth.SOME:
        return truth
    return Truth.NO if truth is Truth.YES else Truth.YES


def _plain(test: Test, packet: Packet) -> Truth:
    look = _LOOKS.get(test.field)
    return look(packet, test.values) if look is not None else Truth.SOME


def _of(holds: bool) -> Truth:
    return Truth.YES if holds else Truth.NO


def _in_networks(address: IPAddress, values: Iterable[str]) -> Truth:
    try:
        return _of(any(address in ip_network(value, strict=False) for value in values))
    except ValueError:  # a set, a range, a name
        return Truth.SOME


def _named(link: str, patterns: Iterable[str]) -> Truth:
    """`eth+` (iptables) and `eth*` (nft) match any link that begins so."""
    return _of(any(_fits(link, pattern) for pattern in patterns))


def _fits(link: str, pattern: str) -> bool:
    return link.startswith(pattern[:-1]) if pattern.endswith(("+", "*")) else link == pattern


def _said(value: str, values: Iterable[str]) -> Truth:
    """Not known is SOME, and so is a range."""
    known = tuple(values)
    return _of(value in known) if value and all(one.isalnum() for one in known) else Truth.SOME


def _has_mark(mark: int, wanted: str) -> bool:
    value, mask = map(int, wanted.split("/"))
    return mark & mask == value


def _typed(address: IPAddress, types: Iterable[str], local: frozenset[IPAddress]) -> Truth:
    """Types that are neither local nor unicast are never those of an overlay packet."""
    kind = "local" if address in local else "unicast"
    return _of(kind in types)


_LOOKS: Final[Mapping[Field, Callable[[Packet, tuple[str, ...]], Truth]]] = {
    Field.SOURCE: lambda packet, values: _in_networks(packet.source, values),
    Field.DESTINATION: lambda packet, values: _in_networks(packet.destination, values),
    Field.IN_LINK: lambda packet, values: _named(packet.in_link, values),
    Field.OUT_LINK: lambda packet, values: _named(packet.out_link, values),
    Field.PROTOCOL: lambda packet, values: _said(packet.protocol, values),
    Field.PORT: lambda packet, values: _said(str(packet.port or ""), values),
    Field.MARK: lambda packet, values: _of(any(_has_mark(packet.mark, value) for value in values)),
    Field.STATE: lambda _packet, values: _of("new" in values),
    Field.SOURCE_TYPE: lambda packet, values: _typed(packet.source, values, packet.local),
    Field.DESTINATION_TYPE: lambda packet, values: _typed(packet.destination, values, packet.local),
}
