"""etcd and what is written there: reachability, the watch, the clocks, leases of peers and our own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from flanpy.api.leases import SubnetDocument
from flanpy.doctor import etcd_versions
from flanpy.doctor.addresses import networks
from flanpy.doctor.checks.common import Problem, evidence_of, judged, judgement
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Severity

_ETCD = Problem("P24", "etcd cannot be reached")
_LIST = Problem("P24", "the list of hosts cannot be used")
_HOLES = Problem("P34", "etcd has known holes: a user's password there opens more than the user may")
_OLD = Problem("P34", "etcd gets no fixes any more")
_SOME_ETCD = Problem("P24", "some etcd endpoints are not well")
_SLOW_ETCD = Problem("P24", "etcd answers slowly")
_LARGE = Problem("P24", "many hosts meet at one copy of the store")
_WATCH = Problem("P23", "the watch on etcd is lost, though etcd answers")
_CLOCKS = Problem("P26", "this host's clock and etcd's differ")
_CONFLICT = Problem("P26", "another host claims this host's subnet")
_OVERLAP = Problem("P26", "leases of two hosts overlap")
_POISON = Problem("P16", "a lease in etcd cannot be used")
_BORDER = Problem("P38", "a lease in etcd would take a way that this host needs, and is kept out")
_CONFIG = Problem("P16", "the network config in etcd cannot be used")
_HELD = Problem("P16", "most peers vanished from etcd at once, and are kept")
_MISSED = Problem("P15", "deletions wait until they are sure")
_DRAINED = Problem("P25", "this host was drained, and takes no part in the overlay")
_LOST = Problem("P25", "this host has no valid lease")
_ENDING = Problem("P25", "this host's lease ends soon and is not renewed")
_NOT_SAVED = Problem("P25", "the lease cannot be kept on disk")
_FULL = Problem("P28", "the network has no subnet left")
_RESERVED = Problem("P29", "a subnet is reserved for this host, but it holds another")

_KEPT_OUT: Final = "KeptOut"
"""The reason of `PeerLeasesValid` where a lease would cross the border; others that are unusable are told apart."""

_EMBEDDED: Final = "flanpy-store "
_MOST_HOSTS: Final = 50
_SLOW_S: Final = 1.0
_SKEW_S: Final = 5.0
_ENDS_S: Final = 120.0


def reachable(facts: Facts) -> Iterator[Finding]:
    sick = [one for one in facts.endpoints if one.problem]
    lines = [f"{one.url}: {one.problem}" for one in sick]
    condition = facts.condition("DatastoreReachable")
    well = [one for one in facts.endpoints if not one.problem]
    if sick and not well:
        said = evidence_of(condition) if condition is not None else ()
        cure = "check etcd and the way to it; forwarding goes on with what was last heard"
        yield _ETCD.found(*lines, *said, cure=cure, condition="DatastoreReachable" if condition else "")
        return
    if sick:
        cure = "restore those members; the others serve meanwhile"
        yield _SOME_ETCD.found(*lines, cure=cure, severity=Severity.WARNING)
    slow = [f"{one.url}: {one.took:.1f} s for a read by quorum" for one in well if one.took >= _SLOW_S]
    if slow:
        cure = "look at etcd's disks and the network to it: etcd's metrics tell of both"
        yield _SLOW_ETCD.found(*slow, cure=cure, severity=Severity.WARNING)


def versions(facts: Facts) -> Iterator[Finding]:
    """Judge the holes only where users have rights: without, everybody who reaches etcd may do everything there."""
    told = [(one, etcd_versions.parsed(one.version)) for one in facts.endpoints]
    known = [(f"{one.url}: etcd {one.version}", version) for one, version in told if version is not None]
    user = facts.told.etcd_user
    if user:
        lines = [
            f"{server}: {trouble}" for server, version in known for trouble in etcd_versions.troubles(version)
        ]
        cure = (
            f"update etcd to {etcd_versions.advice()}; until then give user {user}'s password "
            "and certificate only to those who may be etcd's root"
        )
        problem, severity = _HOLES, Severity.WARNING
    else:
        lines = [f"{server}: {end}" for server, version in known if (end := etcd_versions.ended(version))]
        cure = f"update etcd to {etcd_versions.advice()}, by one line (3.4, 3.5, 3.6) at a time"
        problem, severity = _OLD, Severity.NOTE
    if lines:
        yield problem.found(*lines, cure=cure, severity=severity)


def size(facts: Facts) -> Iterator[Finding]:
    """Suggest an etcd where many hosts depend on the embedded store's one copy."""
    hosts = len(facts.subnets.subnets)
    embedded = [one.url for one in facts.endpoints if one.version.startswith(_EMBEDDED)]
    if embedded and hosts > _MOST_HOSTS:
        line = f"{hosts} hosts hold a lease at {', '.join(embedded)}, flanpy-store"
        cure = "none joins while that host is down: three etcds take it over by flanpyctl store move --to URL,URL,URL"
        yield _LARGE.found(line, cure=cure, severity=Severity.NOTE)


def watched(facts: Facts) -> Iterator[Finding]:
    """The daemon is cut off while we are not."""
    if facts.endpoints and all(one.problem for one in facts.endpoints):
        return
    if facts.reason("DatastoreReachable") == "ListUnusable":
        yield from judged(facts, "DatastoreReachable", _LIST)
        return
    yield from judged(facts, "DatastoreReachable", _WATCH if facts.endpoints else _ETCD)


def clocks(facts: Facts) -> Iterator[Finding]:
    lines = [
        f"{one.url}: its clock is {abs(one.skew):.0f} s {'ahead of' if one.skew > 0 else 'behind'} ours"
        for one in facts.endpoints
        if one.skew is not None and abs(one.skew) > _SKEW_S
    ]
    if lines:
        cure = (
            "let a time daemon (chrony) run on all hosts; leases count time on etcd's clock, logs on each own"
        )
        yield _CLOCKS.found(*lines, cure=cure, severity=Severity.WARNING)


def conflicts(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "LeaseConflict", _CONFLICT)
    leased = facts.subnets.subnets
    for pairs in ([(one.subnet, one) for one in leased], [(one.subnet6, one) for one in leased]):
        rows = [(net, row) for text, row in pairs for net in networks(text)]
        rows.sort(key=lambda pair: (pair[0].version, int(pair[0].network_address), pair[0].prefixlen))
        lines = [
            f"{one} of {_name(row)} and {two} of {_name(other)}"
            for (one, row), (two, other) in pairwise(rows)
            if one.version == two.version and one.overlaps(two)
        ]
        if lines:
            yield _OVERLAP.found(*lines, cure="drain one of each two: flanpyctl drain on that host")


def _name(row: SubnetDocument) -> str:
    return row.host or row.node_id or row.public_ip or "an unnamed host"


def leases(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "NetworkConfigValid", _CONFIG)
    yield from judged(facts, "MassDeleteHeld", _HELD, severity=Severity.WARNING)
    invalid = [f"{row.key}: {row.reason}" for row in facts.subnets.invalid]
    if facts.reason("PeerLeasesValid") not in {"", _KEPT_OUT}:
        yield from judged(facts, "PeerLeasesValid", _POISON, more=invalid)
    elif invalid:
        yield _POISON.found(*invalid, cure="flanpyctl subnets release removes a key")


def border(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "PeerLeasesValid", _BORDER, reasons=[_KEPT_OUT])


def held(facts: Facts) -> Iterator[Finding]:
    waiting = facts.diff.held_lines
    if waiting and facts.condition("MassDeleteHeld") is None:
        yield _MISSED.found(
            facts.diff.held, *waiting, cure="if this was meant, do nothing", severity=Severity.WARNING
        )


def is_drained(facts: Facts) -> bool:
    """Report whether there is no lease on purpose."""
    return facts.reason("LeaseValid") == "Drained"


def drained(facts: Facts) -> Iterator[Finding]:
    if is_drained(facts):
        yield from judged(facts, "LeaseValid", _DRAINED, severity=Severity.WARNING)


def own(facts: Facts) -> Iterator[Finding]:
    if not is_drained(facts):
        yield from judged(facts, "LeaseValid", _LOST)
    left = facts.status.own.expires_in if facts.status.own is not None else None
    if left is not None and left < _ENDS_S and facts.condition("LeaseValid") is None:
        cure = "bring etcd back: another host may be given the subnet once the lease has ended"
        yield _ENDING.found(f"it ends in {left:.0f} s", cure=cure, severity=Severity.WARNING)
    yield from judged(facts, "LeaseSaved", _NOT_SAVED, severity=Severity.WARNING)


def room(facts: Facts) -> Iterator[Finding]:
    """Hosts that have a lease go on: only one more would get none."""
    severity = Severity.WARNING if facts.condition("LeaseValid") is None else Severity.ERROR
    lines = [f"{pool.free} of {pool.total} subnets are free" for pool in facts.status.pools]
    yield from judged(facts, "SubnetsAvailable", _FULL, severity=severity, more=lines)


def reserved(facts: Facts) -> Iterator[Finding]:
    mine, node = facts.status.own, facts.status.node_id
    if mine is None:
        return
    lines = [
        f"{row.key or row.subnet} is reserved for {facts.here or mine.public_ip}"
        for row in facts.subnets.subnets
        if row.reservation and not row.own and _is_for(row, mine.public_ip, node)
    ]
    if lines:
        line = f"held is {mine.subnet}"
        yield _RESERVED.found(
            *lines,
            line,
            cure="drain this host and start it again to move",
            severity=Severity.WARNING,
            condition=judgement(facts, "RestartNeeded", "OtherReserved"),
        )


def _is_for(row: SubnetDocument, ip: str | None, node: str) -> bool:
    if row.node_id:
        return row.node_id == node
    return bool(ip) and row.public_ip == ip
