"""Rules from what `iptables-save -c` prints, of either family and flavour. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from flanpy.model.address import Family
from flanpy.trace.filter import Chain, Effect, Field, Hook, Test, TracedRule, TracedTable

_HOOKS: Final = {hook.value.upper(): hook for hook in Hook}
_PRIORITIES: Final = {"raw": -300, "mangle": -150, "nat": -100, "filter": 0, "security": 50}
_NAT_LATE: Final = {Hook.POSTROUTING, Hook.INPUT}
"""Sources are rewritten at priority 100, destinations at -100 (netfilter_ipv4.h)."""

_COUNTED = re.compile(r"(?:\[(\d+):\d+\] )?-A (\S+) ?(.*)")

_FIELDS: Final = {
    "-s": Field.SOURCE,
    "-d": Field.DESTINATION,
    "-i": Field.IN_LINK,
    "-o": Field.OUT_LINK,
    "-p": Field.PROTOCOL,
    "--dport": Field.PORT,
    "--dports": Field.PORT,
    "--ctstate": Field.STATE,
    "--state": Field.STATE,
    "--mark": Field.MARK,
    "--src-type": Field.SOURCE_TYPE,
    "--dst-type": Field.DESTINATION_TYPE,
}

_EFFECTS: Final = {
    "ACCEPT": Effect.ACCEPT,
    "DROP": Effect.DROP,
    "REJECT": Effect.DROP,
    "RETURN": Effect.RETURN,
    "MASQUERADE": Effect.REWRITE_SOURCE,
    "SNAT": Effect.REWRITE_SOURCE,
    "DNAT": Effect.REWRITE_DESTINATION,
    "REDIRECT": Effect.REWRITE_DESTINATION,
}


def read_saved(text: str, tool: str, family: Family) -> tuple[TracedTable, ...]:
    """All tables."""
    return tuple(TracedTable(tool, name, family, _chains(name, lines)) for name, lines in _tables(text))


def _tables(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", list[str]()
    for line in text.split("\n"):
        if line.startswith("*"):
            name, lines = line[1:].strip(), []
        elif line == "COMMIT":
            yield name, lines
        else:
            lines.append(line)


def _chains(table: str, lines: list[str]) -> dict[str, Chain]:
    rules: dict[str, list[TracedRule]] = {}
    policies: dict[str, str] = {}
    for line in lines:
        if line.startswith(":"):
            name, policy, *_ = f"{line[1:]} - ".split(" ")
            rules.setdefault(name, [])
            policies[name] = policy
        elif (found := _COUNTED.match(line)) is not None:
            packets = int(found[1]) if found[1] else None
            rules.setdefault(found[2], []).append(_rule(found[3], packets, set(policies)))
    return {name: _chain(table, name, policies.get(name, "-"), tuple(of)) for name, of in rules.items()}


def _chain(table: str, name: str, policy: str, rules: tuple[TracedRule, ...]) -> Chain:
    hook = _HOOKS.get(name) if policy != "-" else None
    late = table == "nat" and hook in _NAT_LATE
    priority = 100 if late else _PRIORITIES.get(table, 0)
    return Chain(name, rules, hook, priority, drops=policy == "DROP", is_nat=table == "nat")


def _rule(text: str, packets: int | None, chains: set[str]) -> TracedRule:
    words = _words(text)
    place = next((at for at, word in enumerate(words) if word in {"-j", "-g"}), len(words))
    tests = tuple(_tests(words[:place]))
    target = words[place + 1] if place + 1 < len(words) else ""
    effect, aim = _effect(words[place : place + 1], target, words[place + 2 :], chains)
    return TracedRule(text, effect, tests, aim, packets)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _effect(how: list[str], target: str, options: list[str], chains: set[str]) -> tuple[Effect, str]:
    if target in chains:
        return (Effect.GOTO if how == ["-g"] else Effect.JUMP), target
    if target == "MARK" and options[:1] and options[0] in {"--set-xmark", "--set-mark"} and len(options) > 1:
        with suppress(ValueError):
            return Effect.MARK, _mark(options[1])
    return _EFFECTS.get(target, Effect.NOTHING), ""


def _mark(text: str) -> str:
    """Return value and mask in decimal. Raises ValueError."""
    value, _, mask = text.partition("/")
    return f"{int(value, 0)}/{int(mask, 0) if mask else 0xFFFFFFFF}"


def _tests(words: list[str]) -> Iterator[Test]:
    """Options with their values; one that is not known makes the rule uncertain, whatever follows it."""
    rest = list(words)
    while rest:
        negated = rest[0] == "!" and len(rest) > 1
        option, values = rest[negated], rest[negated + 1 :]
        rest = values
        while rest and not (rest[0].startswith("-") or rest[0] == "!"):
            rest = rest[1:]
        values = values[: len(values) - len(rest)]
        if option in {"-m", "--comment"}:
            continue
        yield _test(option, values, negated=negated)


def _test(option: str, values: list[str], *, negated: bool) -> Test:
    field = _FIELDS.get(option, Field.OTHER)
    texts = [part for value in values for part in value.split(",")]
    match field:
        case Field.MARK:
            with suppress(ValueError):
                return Test(field, tuple(map(_mark, texts)), negated)
            return Test(Field.OTHER, (option, *texts), negated)
        case Field.STATE | Field.SOURCE_TYPE | Field.DESTINATION_TYPE:
            return Test(field, tuple(text.lower() for text in texts), negated)
        case Field.OTHER:
            return Test(field, (option, *texts), negated)
        case _:
            return Test(field, tuple(texts), negated)
