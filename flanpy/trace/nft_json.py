"""Rules from what `nft -j list ruleset` prints (libnftables-json(5)). Pure.

Tables that iptables-nft keeps in nftables are left out: their rules are only readable through `iptables-nft-save`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from flanpy.errors import MALFORMED
from flanpy.model.address import Family
from flanpy.trace.filter import NFT, Chain, Effect, Field, Hook, Test, TracedRule, TracedTable
from flanpy.trace.nft_words import value_text, words

_FAMILIES: Final = {"ip": Family.IPV4, "ip6": Family.IPV6, "inet": None}
_HOOKS: Final = {hook.value: hook for hook in Hook}
_ALL_BITS: Final = 0xFFFFFFFF

_EFFECTS: Final = {
    "accept": Effect.ACCEPT,
    "drop": Effect.DROP,
    "reject": Effect.DROP,
    "return": Effect.RETURN,
    "jump": Effect.JUMP,
    "goto": Effect.GOTO,
    "masquerade": Effect.REWRITE_SOURCE,
    "snat": Effect.REWRITE_SOURCE,
    "dnat": Effect.REWRITE_DESTINATION,
    "redirect": Effect.REWRITE_DESTINATION,
}

_META: Final = {
    "iifname": Field.IN_LINK,
    "oifname": Field.OUT_LINK,
    "iif": Field.IN_LINK,
    "oif": Field.OUT_LINK,
    "mark": Field.MARK,
    "l4proto": Field.PROTOCOL,
}

Expression = Mapping[str, Any]


def read_ruleset(text: str, *, without: Iterable[tuple[Family, str]] = ()) -> tuple[TracedTable, ...]:
    """All tables but those `without`. Raises ValueError if it is no such JSON."""
    try:
        return _tables(text, frozenset(without))
    except MALFORMED as error:
        raise ValueError(
            f"no ruleset that is understood ({type(error).__name__}: {str(error)[:100]!r})"
        ) from error


def _tables(text: str, left_out: frozenset[tuple[Family, str]]) -> tuple[TracedTable, ...]:
    listed = json.loads(text or "{}").get("nftables", ())
    found = {}
    for item in listed:
        if (table := item.get("table")) and table["family"] in _FAMILIES:
            family = _FAMILIES[table["family"]]
            if (family, table["name"]) not in left_out:
                found[table["family"], table["name"]] = _Listed(family, table["name"])
    for item in listed:
        for kind, body in item.items():
            if kind in {"chain", "rule", "set", "map"}:
                place = found.get((body["family"], body["table"]))
                if place is not None:
                    place.take(kind, body)
    return tuple(one.table() for one in found.values())


class _Listed:
    """One table as its parts come in; rules are read last, for they name sets and maps."""

    def __init__(self, family: Family | None, name: str) -> None:
        self._family = family
        self._name = name
        self._chains: dict[str, Expression] = {}
        self._rules: dict[str, list[Expression]] = {}
        self._sets: dict[str, list[Any]] = {}

    def take(self, kind: str, body: Expression) -> None:
        match kind:
            case "chain":
                self._chains[body["name"]] = body
            case "rule":
                self._rules.setdefault(body["chain"], []).append(body)
            case _:
                self._sets[body["name"]] = list(body.get("elem", ()))

    def table(self) -> TracedTable:
        return TracedTable(
            NFT, self._name, self._family, {name: self._chain(body) for name, body in self._chains.items()}
        )

    def _chain(self, body: Expression) -> Chain:
        rules = tuple(
            rule
            for one in self._rules.get(body["name"], ())
            for rule in _rules(one.get("expr", ()), self._sets)
        )
        return Chain(
            body["name"],
            rules,
            _HOOKS.get(body.get("hook", "")),
            int(body.get("prio", 0)),
            drops=body.get("policy") == "drop",
            is_nat=body.get("type") == "nat",
        )


def _rules(expressions: Iterable[Expression], sets: Mapping[str, list[Any]]) -> Iterator[TracedRule]:
    """One, or one for each element of a verdict map, then what follows it."""
    expressions = list(expressions)
    text = " ".join(filter(None, (words(one) for one in expressions)))
    tests: list[Test] = []
    packets: int | None = None
    for one in expressions:
        for kind, body in one.items():
            if kind == "match":
                tests += [*_carried(body.get("left")), _test(body, sets)]
            elif kind == "counter" and isinstance(body, Mapping):
                packets = int(body.get("packets", 0))
            elif kind == "vmap":
                yield from _mapped(body, tuple(tests), sets, packets)
            elif kind == "mangle":
                effect, target = _marking(body)
                yield TracedRule(text, effect, tuple(tests), target, packets)
            elif kind in {"limit", "quota", "xt"}:
                tests.append(Test(Field.OTHER, (kind,)))
            elif kind in _EFFECTS:
                effect, target = _effect(kind, body)
                yield TracedRule(text, effect, tuple(tests), target, packets)


def _effect(kind: str, body: Any) -> tuple[Effect, str]:
    """`snat to ip saddr` settles that the source stays."""
    if kind == "snat" and isinstance(body, Mapping) and _field(body.get("addr")) is Field.SOURCE:
        return Effect.KEEP_SOURCE, ""
    target = body.get("target", "") if kind in {"jump", "goto"} and isinstance(body, Mapping) else ""
    return _EFFECTS[kind], str(target)


def _mapped(
    body: Expression, tests: tuple[Test, ...], sets: Mapping[str, list[Any]], packets: int | None
) -> Iterator[TracedRule]:
    field = _field(body.get("key"))
    field = Field.OTHER if field is Field.MARK else field
    for element in _elements(body.get("data"), sets):
        if isinstance(element, list) and len(element) == 2 and isinstance(element[1], Mapping):
            key, verdict = element
            for kind, below in verdict.items():
                if kind in _EFFECTS:
                    effect, target = _effect(kind, below)
                    test = Test(field, (value_text(key),))
                    text = f"{words({'match': {'op': '==', 'left': body.get('key'), 'right': key}})} {words(verdict)}"
                    yield TracedRule(text, effect, (*tests, test), target, packets)


def _marking(body: Expression) -> tuple[Effect, str]:
    """`meta mark set X` and `meta mark set meta mark | X`; other statements change nothing that is followed here."""
    key, value = body.get("key", {}), body.get("value")
    if not isinstance(key, Mapping) or key.get("meta", {}).get("key") != "mark":
        return Effect.NOTHING, ""
    if isinstance(value, int):
        return Effect.MARK, f"{value}/{_ALL_BITS}"
    bits = value.get("|") if isinstance(value, Mapping) else None
    if isinstance(bits, list) and isinstance(bits[-1], int):
        return Effect.MARK, f"{bits[-1]}/{bits[-1]}"
    return Effect.NOTHING, ""


def _test(body: Expression, sets: Mapping[str, list[Any]]) -> Test:
    left, right = body.get("left"), body.get("right")
    field = _field(left)
    negated = body.get("op") == "!="
    if body.get("op") not in {"==", "!=", "in"} or field is Field.OTHER:
        return Test(Field.OTHER, (str(body.get("op")),))
    if field is Field.MARK:
        return (
            Test(field, (f"{right}/{_mask(left)}",), negated) if isinstance(right, int) else Test(Field.OTHER)
        )
    return Test(field, tuple(value_text(one) for one in _elements(right, sets)), negated)


def _carried(left: Any) -> tuple[Test, ...]:
    """A match on a port is one on the protocol as well, which nft does not print."""
    match left:
        case {"payload": {"protocol": "tcp" | "udp" | "icmp" | "icmpv6" | "sctp" as protocol}}:
            return (Test(Field.PROTOCOL, (protocol,)),)
        case _:
            return ()


def _mask(left: Any) -> int:
    bits = left.get("&") if isinstance(left, Mapping) else None
    return bits[-1] if isinstance(bits, list) and isinstance(bits[-1], int) else _ALL_BITS


_PAYLOADS: Final = {
    "saddr": Field.SOURCE,
    "daddr": Field.DESTINATION,
    "protocol": Field.PROTOCOL,
    "nexthdr": Field.PROTOCOL,
    "dport": Field.PORT,
}
_HEADERS: Final = {"ip", "ip6", "tcp", "udp", "th"}
_TYPES: Final = {"saddr": Field.SOURCE_TYPE, "daddr": Field.DESTINATION_TYPE}


def _field(left: Any) -> Field:
    match left:
        case {"meta": {"key": str() as key}}:
            return _META.get(key, Field.OTHER)
        case {"&": [{"meta": {"key": "mark"}}, int()]}:
            return Field.MARK
        case {"payload": {"protocol": str() as header, "field": str() as name}} if header in _HEADERS:
            return _PAYLOADS.get(name, Field.OTHER)
        case {"ct": {"key": "state" | "status"}}:
            return Field.STATE
        case {"fib": {"result": "type", "flags": [str() as side]}}:
            return _TYPES.get(side, Field.OTHER)
        case _:
            return Field.OTHER


def _elements(right: Any, sets: Mapping[str, list[Any]]) -> list[Any]:
    match right:
        case {"set": list() as elements}:
            return elements
        case str() if right.startswith("@"):
            return sets.get(right[1:], [])
        case list():
            return right
        case _:
            return [right]
