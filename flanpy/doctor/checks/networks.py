"""Named networks, as the daemon judges them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flanpy.doctor.checks.common import Problem, evidence_of
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Severity

_TITLES: Final = {
    "KeptOut": "this host keeps out of a named network",
    "NoSlice": "a named network has no slice for this host",
    "Refused": "the kernel refuses what a named network needs",
    "TooNarrow": "a named network is wider than the underlay",
    "NotInDocker": "Docker lacks a named network",
    "RefusedByDocker": "Docker refuses a named network",
}
_WIDER: Final = Problem("P40", "containers send larger packets than their named network carries")
_FOREIGN: Final = Problem("P40", "what comes by another link reaches all hosts of a named network")

_WARNINGS: Final = frozenset({"NotInDocker"})
"""Reasons while which containers that run go on."""


def ready(facts: Facts) -> Iterator[Finding]:
    """The condition, by what it is about."""
    condition = facts.condition("NetworksReady")
    if condition is None or condition.status == "Unknown":
        return
    severity = Severity.WARNING if condition.reason in _WARNINGS else Severity.ERROR
    title = _TITLES.get(condition.reason, "a named network does not work on this host")
    yield Problem("P40", title).found(
        *evidence_of(condition), cure=condition.cure, severity=severity, condition="NetworksReady"
    )


def ends(facts: Facts) -> Iterator[Finding]:
    """Judge the links in the bridges beside our own: they are ends of containers, no wider than their network."""
    wide, foreign = [], []
    for network in facts.status.networks:
        for link in (facts.devices or {}).values():
            if link.master != network.bridge or link.name == network.port:
                continue
            where = f"{link.name} in {network.bridge}, the bridge of network '{network.name}'"
            if link.kind != "veth":
                foreign.append(f"{where}, is no container's ({link.kind or 'hardware'})")
            elif link.mtu > network.mtu:
                wide.append(f"{where}, has MTU {link.mtu}, the network {network.mtu}")
    if wide:
        yield _WIDER.found(
            *wide,
            cure="take the network from its containers (docker network disconnect), run flanpyctl"
            " docker networks, which makes it again, and connect them again",
        )
    if foreign:
        cure = "take it out, unless it is meant: ip link set LINK nomaster"
        yield _FOREIGN.found(*foreign, cure=cure, severity=Severity.WARNING)


def unique(facts: Facts) -> Iterator[Finding]:
    """The condition that each address is one container's."""
    condition = facts.condition("AddressesUnique")
    if condition is None:
        return
    title = "two containers of a named network have one address"
    yield Problem("P41", title).found(
        *evidence_of(condition), cure=condition.cure, condition="AddressesUnique"
    )
