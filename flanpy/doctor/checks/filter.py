"""Packet filters: who drops what the overlay carries, who rewrites its sources, and whether our own rules stand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Final

from flanpy.doctor.checks.common import Problem, ends, judged, judgement, met, repaired, traced_finding
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Repair, Severity
from flanpy.trace.filter import NFT, Effect, Met
from flanpy.trace.hop import Cause, Place

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

_STATIONS: Final = (Place.FILTER_BEFORE_ROUTE, Place.FILTER, Place.SOURCE_ADDRESS)


def engine(facts: Facts) -> Iterator[Finding]:
    dropped = ends(facts, _STATIONS, [Cause.DROPPED_BY_DOCKER])
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


def dropping(facts: Facts) -> Iterator[Finding]:
    dropped = ends(facts, _STATIONS, [Cause.DROPPED])
    yield from traced_finding(_POLICY, dropped, condition=judgement(facts, _JUDGED, _DROPPED))
    if not dropped and not ends(facts, _STATIONS, [Cause.DROPPED_BY_DOCKER]):  # the daemon looks now and then
        yield from judged(facts, _JUDGED, _POLICY, reasons=(_DROPPED,))


def port(facts: Facts) -> Iterator[Finding]:
    yield from traced_finding(_PORT, ends(facts, [Place.UNDERLAY_FILTER]))


def set_up(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, _JUDGED, _SET_UP, reasons=("Unreadable", "Failed", "NoTool", "NoSets"))


def removed(facts: Facts) -> Iterator[Finding]:
    cure = "let what reloads the firewall keep rules that are not its own ('nft monitor' names the process)"
    yield from repaired(facts, _AGAIN, ["filter", "filterjump", "filtermember"], cure)


def masquerade(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "DockerConsistent", _MASQUERADE, reasons=("Masquerades",))
    seen = set()
    for traced, hop in ends(facts, [Place.SOURCE_ADDRESS], [Cause.SOURCE_REWRITTEN]):
        if hop.rule is not None and hop.rule not in seen:
            seen.add(hop.rule)
            repair = _removal(hop.rule)
            cure = f"{hop.cure}: {repair}" if repair else hop.cure
            said = judgement(facts, _JUDGED, _HIDDEN)
            yield _MASQUERADE.found(*met([(traced, hop)]), cure=cure, repair=repair, condition=said)
    if not seen:
        yield from judged(facts, _JUDGED, _MASQUERADE, reasons=(_HIDDEN,))


def _removal(rule: Met) -> Repair | None:
    """Return the command that removes the rule, None where it needs a handle (nftables) or where it would come back."""
    if rule.effect is not Effect.REWRITE_SOURCE or rule.tool == NFT or rule.is_ours or rule.is_dockers:
        return None
    argv = (rule.tool, "-t", rule.table, "-D", rule.chain, *shlex.split(rule.text))
    return Repair(argv, removes=True)


def ports(facts: Facts) -> Iterator[Finding]:
    """Yield a warning at most: lost races are counted for all of connection tracking, not for masquerading alone."""
    if facts.told.masquerade and not facts.told.random_ports and facts.insert_failed:
        yield _RACE.found(
            "ip-masq-fully-random-disable is set",
            f"connection tracking refused {facts.insert_failed} connections for want of a free place",
            cure="leave ip-masq-fully-random-disable off",
            severity=Severity.WARNING,
        )
