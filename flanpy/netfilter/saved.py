"""The state of the packet filters, from the output of `iptables-save` and `nft list`: our chains and jumps, and
Docker's traces. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from flanpy.model.address import Family
from flanpy.model.packet_filter import (
    CHAIN_PREFIX,
    LEFTOVER_PREFIX,
    DockerRules,
    FilterChain,
    FilterJump,
    FilterObject,
    Flavour,
)
from flanpy.plan.filter_text import by_number, read_iptables_rule, read_nft_rules

_OURS = (CHAIN_PREFIX, LEFTOVER_PREFIX)
_JUMP = re.compile(r"(?:(.*) )?-j ([^ ]+)$")
_DIRECT_DROP = re.compile(r"-d (?!127\.)[^ ]+ ! -i [^ ]+ -j DROP$")

Rules = dict[str, dict[str, list[str]]]
"""Rule texts by table and chain, without the `-A <chain>`."""


@dataclass(frozen=True, slots=True)
class Saved:
    """One iptables flavour of one family; `docker` is None if Docker has nothing there."""

    objects: tuple[FilterObject, ...] = ()
    docker: DockerRules | None = None


def read_saved(text: str, flavour: Flavour, family: Family) -> Saved:
    """Read the output of `iptables-save`, of one or of all tables."""
    rules = _rules(text)
    return Saved(tuple(_objects(rules, flavour, family)), _docker(rules))


def _rules(text: str) -> Rules:
    found: Rules = {}
    table: dict[str, list[str]] = {}
    for line in text.split("\n"):  # not splitlines: a comment may hold what Unicode calls the end of a line
        if line.startswith("*"):
            table = found.setdefault(line[1:].strip(), {})
        elif line.startswith(":"):
            table.setdefault(line[1:].partition(" ")[0], [])
        elif line.startswith("-A "):
            chain, _, rule = line[3:].partition(" ")
            table.setdefault(chain, []).append(rule.strip())
    return found


def _objects(rules: Rules, flavour: Flavour, family: Family) -> Iterator[FilterObject]:
    for table, chains in rules.items():
        for chain, texts in chains.items():
            if chain.startswith(_OURS):
                yield FilterChain(flavour, family, table, chain, tuple(map(read_iptables_rule, texts)))
            else:
                yield from _jumps(texts, flavour, family, table, chain)


def _jumps(
    texts: Iterable[str], flavour: Flavour, family: Family, table: str, chain: str
) -> Iterator[FilterJump]:
    places: dict[tuple[str, str], list[int]] = {}
    for place, text in enumerate(texts, 1):
        found = _JUMP.match(text)
        if found is not None and found[2].startswith(_OURS):
            places.setdefault((by_number(found[1] or ""), found[2]), []).append(place)
    for (match, target), where in places.items():
        yield FilterJump(flavour, family, table, chain, target, tuple(where), match)


def _docker(rules: Rules) -> DockerRules | None:
    chains = rules.get("filter", {})
    if "DOCKER" not in chains and "DOCKER-USER" not in chains:
        return None
    drops = any(map(_DIRECT_DROP.match, rules.get("raw", {}).get("PREROUTING", ())))
    return DockerRules(
        user_chain="DOCKER-USER" in chains and "-j DOCKER-USER" in chains.get("FORWARD", ()),
        direct_drops=drops or "DOCKER-FORWARD" in chains,
    )


_CHAIN = re.compile(r"\s*chain (\S+) \{")
_HOOK = re.compile(r"\s*type (\S+ hook \S+ priority -?\d+);")


def read_listed(text: str, family: Family, table: str) -> Iterator[FilterChain]:
    """Read the output of `nft --stateless --numeric-priority list table`."""
    name, hook, lines = "", "", list[str]()
    for line in text.split("\n"):
        if (start := _CHAIN.match(line)) is not None:
            name, hook, lines = start[1], "", []
        elif name and line.strip() == "}":
            yield FilterChain(Flavour.NFT, family, table, name, read_nft_rules(lines), hook)
            name = ""
        elif name and not hook and (found := _HOOK.match(line)) is not None:
            hook = found[1]
        elif name and line.strip():
            lines.append(line.strip())
