"""Judges what probes measured: whether peers are reached over the overlay, and with packets of full size."""

from __future__ import annotations

from flanpy.backend import choice
from flanpy.model.condition import Condition, ConditionType
from flanpy.model.reach import PeerReach, Reach, ReachReport
from flanpy.plan.host_names import own_name
from flanpy.printable import plural
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, named, unknown, unmeasured

_FORBIDDEN = ("permi", "CAP_NET_RAW")
"""What a problem of the probes says if they are not allowed to send."""

_CLAMP = "let the network pass packets of the underlay's full size, or lower the MTU of the underlay link"


def reachable(inputs: Inputs, _now: float) -> Condition:
    kind, report = ConditionType.PEERS_REACHABLE, inputs.reach
    if report is None:
        return unmeasured(kind, "NotProbed", "no peer was probed yet")
    if report.problem:
        forbidden = any(word in report.problem for word in _FORBIDDEN)
        return unmeasured(kind, "NoPermission" if forbidden else "ProbesFailed", report.problem)
    lost = [peer for peer in report.peers.values() if peer.reach is Reach.UNREACHABLE]
    if lost:
        return _pairs(inputs, lost, "Unreachable", f"{len(lost)} of {report.of} peers unreachable")
    lossy = [peer for peer in report.peers.values() if peer.reach is Reach.LOSSY]
    if lossy:
        return _pairs(inputs, lossy, "Lossy", f"packets of {len(lossy)} of {report.of} peers are lost")
    return _reached(inputs, report)


def _reached(inputs: Inputs, report: ReachReport) -> Condition:
    kind = ConditionType.PEERS_REACHABLE
    answered = sum(peer.reach is Reach.REACHABLE for peer in report.peers.values())
    if report.of == 0 and (away := _out_of_sight(inputs)):
        return unknown(kind, "NotMeasured", f"{plural(away, 'peer')} cannot be probed without an underlay")
    if report.of == 0:
        return good(kind, "NoPeers", "there is no peer to reach yet")
    if answered == 0:
        return unmeasured(kind, "NotProbed", f"none of {report.of} peers was probed often enough yet")
    said = f"{answered} of {report.of} peers answered over the overlay"
    mute = [name_of(p) for p in report.peers.values() if p.reach is Reach.REACHABLE and p.diagnosis.evidence]
    quiet = f"; to TCP only, as they do not answer pings: {named(sorted(mute))}" if mute else ""
    return good(kind, "Reachable", said + quiet)


def _out_of_sight(inputs: Inputs) -> int:
    """Return how many peers are known while there is no underlay to probe them by: nothing is known to be well."""
    last = inputs.last
    if last is None or last.world.own is None or last.world.facts.underlay is not None:
        return 0
    return len(last.admission.peers) if last.world.facts.problem else 0


def _pairs(inputs: Inputs, peers: list[PeerReach], reason: str, text: str) -> Condition:
    """Names each pair of hosts, this one first, and what stands between them; the evidence says why."""
    here, ordered = here_of(inputs), sorted(((name_of(peer), peer) for peer in peers), key=_first)
    lines = [pair(here, peer) for _, peer in ordered]
    brief = [": ".join(filter(None, (f"{here} -> {name}", p.diagnosis.trouble.value))) for name, p in ordered]
    cures = list(dict.fromkeys(peer.diagnosis.cure for peer in peers if peer.diagnosis.cure))
    message = f"{text}: {named(brief)}"
    return bad(ConditionType.PEERS_REACHABLE, reason, message, named(cures, "; "), evidence=lines)


def pair(here: str, peer: PeerReach) -> str:
    """`node-1 -> node-2 (192.0.2.12): PortBlocked, the underlay answers, the overlay does not`."""
    where = f" ({peer.public_ip})" if peer.public_ip is not None else ""
    why = ", ".join(filter(None, (peer.diagnosis.trouble.value, peer.diagnosis.evidence)))
    return f"{here} -> {name_of(peer)}{where}" + (f": {why}" if why else "")


def _first(pair: tuple[str, PeerReach]) -> str:
    return pair[0]


def name_of(peer: PeerReach) -> str:
    return peer.name


def here_of(inputs: Inputs) -> str:
    return own_name(inputs.last.world) if inputs.last is not None else "this host"


def mtu(inputs: Inputs, _now: float) -> Condition:
    kind, report, docker = ConditionType.MTU_CONSISTENT, inputs.reach, inputs.docker
    too_narrow = choice.narrow(inputs.last.world) if inputs.last is not None else None
    if too_narrow is not None:
        return bad(kind, "TooNarrow", str(too_narrow), too_narrow.cure)
    measured = _measured(report) if report is not None else []
    narrow = sorted((peer for peer in measured if not peer.mtu.is_whole), key=name_of)
    if narrow:
        here = here_of(inputs)
        lines = [
            f"{here} -> {name_of(p)}: {p.mtu.passed} of {p.mtu.wanted} bytes get through" for p in narrow
        ]
        message = f"large packets of {plural(len(narrow), 'peer')} vanish: {named(lines, '; ')}"
        cure = next((p.diagnosis.cure for p in narrow if p.diagnosis.cure), _CLAMP)
        return bad(kind, "PathTooNarrow", message, cure, evidence=lines)
    if docker is not None and docker.condition.reason in {"MTUDiffers", "MTUOfContainers"}:
        return bad(kind, "ContainersTooWide", docker.condition.message, docker.condition.cure)
    if not measured:
        return unmeasured(kind, "NotProbed", "no path was measured yet")
    return good(kind, "Consistent", f"packets of full size reach {plural(len(measured), 'peer')}")


def _measured(report: ReachReport) -> list[PeerReach]:
    """Peers that small packets reach, and whose path was tried with large ones."""
    return [
        peer
        for peer in report.peers.values()
        if peer.mtu.wanted and peer.reach in {Reach.REACHABLE, Reach.LOSSY}
    ]
