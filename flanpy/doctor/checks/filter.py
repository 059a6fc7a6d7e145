"""Packet filters: who drops what the overlay carries, who rewrites its sources, and whether our own rules stand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from flanpy.doctor.checks.common import Problem, ends, judged, judgement, met, repaired, traced_finding
from flanpy.doctor.facts import Facts, Traced
from flanpy.doctor.finding import Finding, Repair, Severity
from flanpy.trace.filter import Effect
from flanpy.trace.hop import Hop

_ENGINE = Problem("P01", "Docker drops what reaches containers over the overlay")
_POLICY = Problem("P02", "this host's packet filter drops what the overlay carries")
_AGAIN = Problem("P03", "packet filter rules of the overlay were removed, and flanpyd put them back")
_SET_UP = Problem("P10", "the packet filter rules of the overlay could not be set up")
_MASQUERADE = Problem("P08", "a rule hides the sources of overlay packets")
_RACE = Problem("P09", "masquerading may give two connections one port")
_PORT = Problem("P06", "this host's packet filter drops the overlay's wrapped packets")

_JUDGED: Final = "FirewallReady"
_DROPPED: Final = "TrafficDropped"
_HIDDEN: Final = "SourceHidden"

_STATIONS: Final = ("filter before the route", "filter", "source address")


def engine(facts: Facts) -> Iterator[Finding]:
    dropped = ends(facts, _STATIONS, lambda _, hop: _is_drop(hop) and _is_dockers(hop))
    lines = met(dropped)
    if facts.condition("DockerConsistent") is not None:
        found = tuple(judged(facts, "DockerConsistent", _ENGINE, reasons=("EngineDropsUs",), more=lines))
        yield from found
        if found:
            return
    docker = facts.docker
    if docker is not None and not docker.healthy and docker.reason == "EngineDropsUs":
        yield _ENGINE.found(docker.message, cure=docker.cure, condition=docker.type.value)
    else:
        yield from traced_finding(_ENGINE, dropped, condition=judgement(facts, _JUDGED, _DROPPED))


def _is_drop(hop: Hop) -> bool:
    return "dropped by" in hop.text


def _is_dockers(hop: Hop) -> bool:
    """Its chains, or raw PREROUTING with a container's address, where Docker 28 and newer guard against the outside."""
    return "docker" in hop.text.lower() or ("table raw, chain PREROUTING" in hop.text)


def dropping(facts: Facts) -> Iterator[Finding]:
    dropped = ends(facts, _STATIONS, lambda _, hop: _is_drop(hop))
    others = [(traced, hop) for traced, hop in dropped if not _is_dockers(hop)]
    yield from traced_finding(_POLICY, others, condition=judgement(facts, _JUDGED, _DROPPED))
    if not dropped:  # the daemon looks now and then
        yield from judged(facts, _JUDGED, _POLICY, reasons=(_DROPPED,))


def port(facts: Facts) -> Iterator[Finding]:
    yield from traced_finding(_PORT, ends(facts, ["underlay filter"]))


def set_up(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, _JUDGED, _SET_UP, reasons=("Unreadable", "Failed", "NoTool", "NoSets"))


def removed(facts: Facts) -> Iterator[Finding]:
    cure = "let what reloads the firewall keep rules that are not its own ('nft monitor' names the process)"
    yield from repaired(facts, _AGAIN, ["filter", "filterjump", "filtermember"], cure)


def masquerade(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "DockerConsistent", _MASQUERADE, reasons=("Masquerades",))
    seen = set()
    for traced, hop in ends(facts, ["source address"], lambda _, hop: "is rewritten by" in hop.text):
        repair = _removal(traced, hop)
        if (hop.text.partition(" is ")[2], hop.evidence) not in seen:
            seen.add((hop.text.partition(" is ")[2], hop.evidence))
            cure = f"{hop.cure}: {repair}" if repair else hop.cure
            said = judgement(facts, _JUDGED, _HIDDEN)
            yield _MASQUERADE.found(*met([(traced, hop)]), cure=cure, repair=repair, condition=said)
    if not seen:
        yield from judged(facts, _JUDGED, _MASQUERADE, reasons=(_HIDDEN,))


def _removal(traced: Traced, hop: Hop) -> Repair | None:
    """The command that takes the one rule away; nftables would need its handle, which changes."""
    for table in traced.seen.tables:
        for chain in table.chains.values():
            if not hop.text.endswith(f"{table.label}, chain {chain.name}") or "tables" not in table.tool:
                continue
            for rule in chain.rules:
                named = any(rule.text in line for line in hop.evidence)
                if rule.effect is Effect.REWRITE_SOURCE and named and _is_removable(chain.name):
                    argv = (table.tool, "-t", table.name, "-D", chain.name, *shlex.split(rule.text))
                    return Repair(argv, removes=True)
    return None


def _is_removable(chain: str) -> bool:
    """Ours and Docker's come back by themselves."""
    return not chain.startswith(("FLANPY-", "DOCKER"))


def ports(facts: Facts) -> Iterator[Finding]:
    """Only a note: lost races are counted for all of connection tracking, whoever masquerades."""
    if facts.told.masquerade and not facts.told.random_ports and facts.insert_failed:
        yield _RACE.found(
            "ip-masq-fully-random-disable is set",
            f"connection tracking refused {facts.insert_failed} connections for want of a free place",
            cure="leave ip-masq-fully-random-disable off",
            severity=Severity.WARNING,
        )
