"""Every check, in the order of causes: what stands earlier explains what stands later. One explicit tuple.

P17 (a restart disturbs traffic) leaves nothing behind that could be looked at afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from flanpy.api.status import ConditionDocument
from flanpy.doctor.checks import cloud, daemon, docker, filter, host, networks, overlay, reach, store  # noqa: A004
from flanpy.doctor.checks.common import Problem, evidence_of
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Severity
from flanpy.model.condition import ConditionType
from flanpy.model.problem import UNKNOWN, problem_of
from flanpy.status.judge.causes import DEPENDS_ON


@dataclass(frozen=True, slots=True)
class Check:
    """`title` says what is made sure of, `look` finds what is not so; `of_all`: also on a host that was drained."""

    id: str
    title: str
    look: Callable[[Facts], Iterable[Finding]]
    of_all: bool = False


CHECKS: Final = (
    Check("P31", "the daemon answers", daemon.answers, of_all=True),
    Check("P21", "this host has a link for the overlay", host.link, of_all=True),
    Check("P24", "etcd answers, soon and at every endpoint", store.reachable, of_all=True),
    Check("P23", "the daemon follows etcd", store.watched, of_all=True),
    Check("P25", "this host takes part", store.drained, of_all=True),
    Check("P26", "no two hosts hold one subnet", store.conflicts),
    Check("P21", "this host's public address is its own", host.shared),
    Check("P16", "every lease and the network config can be used", store.leases),
    Check("P38", "no lease takes a way that this host needs", store.border),
    Check("P15", "no deletion is held back", store.held),
    Check("P25", "this host's lease is held, renewed and saved", store.own),
    Check("P28", "the network has room for one more host", store.room),
    Check("P29", "reservations are honoured", store.reserved),
    Check("P21", "the right link and address carry the overlay", host.underlay),
    Check("P27", "the lease has this host's address", host.moved),
    Check("P32", "nobody else uses the overlay's range", host.overlapping),
    Check("P22", "IPv6 is on where the overlay needs it", host.ipv6),
    Check("P12", "the overlay's device has the MAC that peers know", overlay.mac),
    Check("P43", "this host's WireGuard key can be used", overlay.key),
    Check("P11", "the overlay's device stands", overlay.device),
    Check("P07", "checksums are right", overlay.checksum),
    Check("P04", "this host forwards", host.forwarding),
    Check("P05", "reverse-path filters let peers in", host.reverse_path),
    Check("P20", "neighbour tables are large enough", host.neighbours),
    Check("P01", "Docker lets the overlay in", filter.engine),
    Check("P10", "packet filter rules could be set up", filter.set_up),
    Check("P02", "no packet filter drops the overlay", filter.dropping),
    Check("P03", "nobody removes our packet filter rules", filter.removed),
    Check("P08", "sources stay as they are within the overlay", filter.masquerade),
    Check("P09", "masquerading takes random ports", filter.ports),
    Check("P13", "routes lead where they should", overlay.routes),
    Check("P14", "entries of peers are right", overlay.entries),
    Check("P18", "the backend has a way to every peer", overlay.way),
    Check("P44", "no WireGuard handshake is later than now", overlay.clock),
    Check("P42", "every WireGuard peer that is sent to answers", overlay.sessions),
    Check("P33", "the cloud provider has this host's route", cloud.routes),
    Check("P40", "named networks stand as they are defined", networks.ready),
    Check("P40", "only containers are in the bridges of named networks, and as wide as these", networks.ends),
    Check("P41", "no address of a named network is taken twice", networks.unique),
    Check("P30", "Docker uses this host's subnet", docker.consistent),
    Check("P30", "subnet.env is right", docker.file),
    Check("P30", "Docker starts after the overlay", docker.order),
    Check("P19", "containers' packets fit the overlay", docker.containers),
    Check("P19", "packets of full size get through", docker.mtu),
    Check("P39", "containers are found by name", docker.names),
    Check("P06", "this host lets the overlay's port in and out", filter.port),
    Check("P06", "peers are reached", reach.peers),
    Check("P36", "the hosts of all peers are up", reach.peers),
    Check("P37", "no packet to a peer is lost", reach.peers),
    Check("P26", "clocks agree", store.clocks, of_all=True),
    Check("P34", "etcd gets fixes, and keeps its users to their rights", store.versions, of_all=True),
    Check("P24", "the store suits so many hosts", store.size, of_all=True),
    Check("P35", "settings are in force", daemon.settings, of_all=True),
)

_EXPLAINED_BY: Final = {
    kind.value: tuple(cause.value for cause in causes) for kind, causes in DEPENDS_ON.items()
}

_TOGETHER_S: Final = 2.0
"""Repairs within so many seconds of the last one are ordered by cause, older ones by age."""


def checked() -> tuple[str, ...]:
    """Ids of the problems that are looked for."""
    return tuple(sorted({check.id for check in CHECKS}))


def diagnose(facts: Facts) -> tuple[Finding, ...]:
    """All findings, the worst first, causes before what they explain."""
    found = {
        (finding.id, finding.title, finding.evidence): (place, finding)
        for place, check in reversed(tuple(enumerate(CHECKS)))
        if check.of_all or not store.is_drained(facts)
        for finding in check.look(facts)
    }
    placed = list(found.values())
    told = {finding.condition for _, finding in placed}
    if not store.is_drained(facts):
        placed += [(_last_place(finding.id), finding) for finding in _untold(facts, told)]
    newest = max((finding.at for _, finding in placed), default=0.0)

    def order(pair: tuple[int, Finding]) -> tuple[int, float, int]:
        place, finding = pair
        old = newest - finding.at if finding.at and newest - finding.at > _TOGETHER_S else 0.0
        return finding.severity.rank, old, place

    return tuple(_folded([finding for _, finding in sorted(placed, key=order)]))


def _folded(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Mark each finding that an earlier one explains, as the conditions of both say."""
    causes: dict[str, str] = {}
    for finding in findings:
        found = next((causes[name] for name in _causes(finding.condition) if name in causes), "")
        if finding.condition and finding.severity is Severity.ERROR:
            causes.setdefault(finding.condition, found or finding.id)
        yield replace(finding, follows=found if found != finding.id else "")


def _causes(name: str) -> Iterator[str]:
    """Yield the conditions that may explain one, through others too."""
    waiting, seen = [name], {name}
    while waiting:
        for cause in _EXPLAINED_BY.get(waiting.pop(0), ()):
            if cause not in seen:
                seen.add(cause)
                waiting.append(cause)
                yield cause


def _last_place(id_: str) -> int:
    return max(place for place, check in enumerate(CHECKS) if check.id == id_)


def _untold(facts: Facts, told: set[str]) -> Iterator[Finding]:
    """A bad condition is a finding, whatever checks know of it; one not judged yet only if nothing else explains it."""
    bad = [row for row in facts.status.conditions if not row.healthy and row.type not in told]
    judged = [row for row in bad if row.status != "Unknown"]
    for row in judged or ([] if told - {""} else bad):
        title = f"{row.type or 'a condition'} is {'not known yet' if row.status == 'Unknown' else 'bad'}"
        severity = Severity.ERROR if row.status != "Unknown" else Severity.WARNING
        yield Problem(_id_of(row), title).found(
            *evidence_of(row), cure=row.cure, severity=severity, condition=row.type
        )


def _id_of(row: ConditionDocument) -> str:
    """Return the problem's id of a bad condition that no check has reported."""
    try:
        kind = ConditionType(row.type)
    except ValueError:  # of a newer daemon's
        return UNKNOWN
    return problem_of(kind, row.reason).id
