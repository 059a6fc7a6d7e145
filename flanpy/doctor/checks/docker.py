"""Docker beside the overlay: whether it uses this host's subnet, starts after flanpyd, and has MTUs that fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from flanpy.api.leases import PeerDocument
from flanpy.doctor.addresses import networks
from flanpy.doctor.checks.common import Problem, ends, judged, traced_finding
from flanpy.doctor.facts import Facts
from flanpy.doctor.finding import Finding, Severity
from flanpy.trace.hop import Cause, Place

_DIFFERS = Problem("P30", "Docker does not use this host's subnet")
_ORDER = Problem("P30", "Docker may start before the overlay is ready")
_FILE = Problem("P30", "subnet.env, which Docker is configured from, is not as it should be")
_CONTAINERS = Problem("P19", "containers send larger packets than the overlay carries")
_LARGE = Problem("P19", "the overlay takes larger packets than the underlay carries")
_NAMES = Problem("P39", "containers do not find each other by name")
_PATH = Problem("P19", "large packets vanish on the way to a peer")

MTU_REASONS: Final = ("MTUDiffers", "MTUOfContainers")
_ELSEWHERE: Final = (*MTU_REASONS, "EngineDropsUs", "Masquerades")


def consistent(facts: Facts) -> Iterator[Finding]:
    if facts.reason("DockerConsistent") not in _ELSEWHERE:
        yield from judged(facts, "DockerConsistent", _DIFFERS)
    docker = facts.docker
    if docker is not None and not docker.healthy and docker.reason not in _ELSEWHERE:
        yield _DIFFERS.found(
            f"{docker.reason}: {docker.message}", cure=docker.cure, condition=docker.type.value
        )


def order(facts: Facts) -> Iterator[Finding]:
    if facts.docker_after is not None and not {"flanpyd.service", "flanneld.service"} & {*facts.docker_after}:
        cure = "install flanpy's systemd units: they order docker.service after flanpyd.service"
        line = "docker.service is not ordered after flanpyd.service"
        yield _ORDER.found(line, cure=cure, severity=Severity.NOTE)


def file(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "SubnetFileWritten", _FILE)
    if facts.condition("SubnetFileWritten") is not None:
        return
    own = facts.status.own
    leased = networks(own.subnet, own.subnet6) if own is not None else ()
    if leased and facts.env_text:
        yield _FILE.found(facts.env_text, cure="flanpyd writes it: correct --subnet-file or restart it")
    elif leased and set(facts.env_own) != set(leased):
        has, wanted = (", ".join(map(str, nets)) for nets in (facts.env_own, leased))
        yield _FILE.found(f"it says {has}, leased is {wanted}", cure="flanpyd writes it: see its log")


def containers(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "DockerConsistent", _CONTAINERS, reasons=MTU_REASONS)
    docker = facts.docker
    if docker is not None and not docker.healthy and docker.reason in MTU_REASONS:
        yield _CONTAINERS.found(docker.message, cure=docker.cure, condition=docker.type.value)


def mtu(facts: Facts) -> Iterator[Finding]:
    yield from traced_finding(_LARGE, ends(facts, [Place.DEVICE, Place.UNDERLAY_MTU], [Cause.MTU]))
    narrow = [
        f"{facts.here or 'this host'} -> {_peer(row)}: {row.path_mtu} of {row.path_mtu_wanted} bytes get through"
        for row in facts.peers.peers
        if 0 < row.path_mtu < row.path_mtu_wanted
    ]
    if facts.condition("MTUConsistent") is None:
        if narrow:
            cure = "let ICMP 'fragmentation needed' pass, or lower the MTU of the underlay link"
            yield _PATH.found(*narrow, cure=cure)
        return
    reason = facts.reason("MTUConsistent")
    if reason == "ContainersTooWide":
        yield from judged(facts, "MTUConsistent", _CONTAINERS)
    elif reason != "TooNarrow":  # P22 tells of it
        yield from judged(facts, "MTUConsistent", _PATH, more=narrow)


def _peer(row: PeerDocument) -> str:
    return row.host or row.node_id or row.subnet or "a peer"


def names(facts: Facts) -> Iterator[Finding]:
    yield from judged(facts, "NamesServed", _NAMES, severity=Severity.WARNING)
