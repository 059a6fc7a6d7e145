"""The snapshot as the control socket's documents (`flanpy.api`).

Nothing here is kept: a document is made from the frozen snapshot when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flanpy.api.events import DifferenceDocument, EventDocument, EventsDocument
from flanpy.api.leases import PeersDocument, SubnetsDocument
from flanpy.api.status import (
    BackendDocument,
    ConditionDocument,
    DockerDocument,
    DockerNetworkDocument,
    LinkDocument,
    NamedNetworkDocument,
    NeighbourTableDocument,
    NetworkDocument,
    OwnDocument,
    PassesDocument,
    PoolDocument,
    ProblemDocument,
    ReversePathDocument,
    StatusDocument,
    StoreDocument,
    TuningDocument,
    UnderlayDocument,
    VerdictDocument,
    VerdictsDocument,
)
from flanpy.backend import choice
from flanpy.docker.facts import DockerNetwork
from flanpy.model.condition import Condition
from flanpy.model.event import Event
from flanpy.model.ipip import IpipLink
from flanpy.model.network.config import without_secrets
from flanpy.model.objects import OwnLink, TunLink, TunnelEnd, VxlanLink
from flanpy.model.ops import Objects
from flanpy.model.problem import problem_of
from flanpy.model.reach import Reach, ReachReport
from flanpy.model.tuning import HostTuning
from flanpy.model.wireguard import SeenPeer, WgDevice, WireguardLink
from flanpy.model.world import World
from flanpy.plan.decision import Decision
from flanpy.plan.host_names import own_name
from flanpy.plan.render import describe, render
from flanpy.reconcile.outcome import Pass
from flanpy.status import lease_rows
from flanpy.status.board import StatusSnapshot
from flanpy.status.inputs import Inputs, OwnStatus
from flanpy.status.judge.networks import free_addresses
from flanpy.status.judge.summary import SummaryLine, of_cluster, of_host
from flanpy.status.story import sentence


@dataclass(frozen=True, slots=True)
class DaemonHead:
    """The part of the status that never changes; `started_at` is wall time in seconds."""

    version: str
    node_id: str
    pid: int
    started_at: float


def plain(document: Any) -> Any:
    """Return a document as what JSON has: mappings, lists, texts, numbers."""
    return msgspec.json.decode(msgspec.json.encode(document))


def status(snapshot: StatusSnapshot, *, now: float, head: DaemonHead) -> StatusDocument:
    """`GET /v1/status`."""
    inputs, name = snapshot.inputs, name_here(snapshot, head.node_id)
    verdict = of_host(name, snapshot.phase, snapshot.conditions, ready=snapshot.ready)
    return StatusDocument(
        version=head.version,
        node_id=head.node_id,
        pid=head.pid,
        started_at=head.started_at,
        host=name,
        verdict=_verdict(verdict),
        phase=snapshot.phase.value,
        ready=snapshot.ready,
        conditions=tuple(_condition(condition, inputs.reach) for condition in snapshot.conditions),
        network=_network(inputs),
        own=_own(inputs.own, now),
        underlay=_underlay(inputs.last),
        backend=_backend(inputs),
        peers=lease_rows.peer_counts(inputs.last),
        store=_store(inputs),
        docker=_docker(inputs),
        tuning=_tuning(inputs.tuning),
        networks=_networks(inputs),
        pools=tuple(PoolDocument(pool.total, pool.free) for pool in inputs.pools if pool is not None),
        passes=_passes(snapshot),
    )


def _verdict(line: SummaryLine) -> VerdictDocument:
    return VerdictDocument(line.state.value, line.text, line.cure, line.cause, line.follows)


def _store(inputs: Inputs) -> StoreDocument:
    return StoreDocument(
        endpoint=inputs.store.endpoint,
        revision=inputs.last.world.view.revision if inputs.last else 0,
        stale=inputs.store.stale,
        outage_since=inputs.store.outage_since,
        listed=inputs.store.listed,
        version=inputs.store.version,
    )


def _passes(snapshot: StatusSnapshot) -> PassesDocument:
    last, totals = snapshot.inputs.last, snapshot.totals
    return PassesDocument(
        count=totals.passes,
        last_took_ms=round(last.took * 1000, 3) if last else None,
        last_ops=len(last.decision.ops) if last else 0,
        resyncs=dict(totals.resyncs),
        repairs=dict(totals.repairs),
    )


def _networks(inputs: Inputs) -> tuple[NamedNetworkDocument, ...]:
    if inputs.last is None:
        return ()
    world = inputs.last.world
    return tuple(
        NamedNetworkDocument(
            name=one.network.name,
            subnet=str(one.network.subnet),
            ipv6_subnet=str(one.network.subnet6 or ""),
            slice=str(one.slice),
            vni=one.network.vni,
            mtu=one.network.mtu,
            bridge=one.bridge,
            port=one.port,
            in_docker=one.bridge in world.facts.bridges,
            members=tuple(str(member) for member in one.members),
            containers=inputs.containers.get(one.port, 0),
            free=free_addresses(inputs, one),
            names=inputs.known_names.get(one.network.name, 0),
        )
        for one in world.named.networks
    )


def name_here(snapshot: StatusSnapshot, node_id: str) -> str:
    """Return this host's name, its node id before any lease was read."""
    last = snapshot.inputs.last
    return own_name(last.world) if last is not None else node_id


def verdicts(snapshot: StatusSnapshot, mesh: Mapping[str, Any] | None, node_id: str) -> VerdictsDocument:
    """`GET /v1/verdict`: the one judgement that every view shows."""
    name = name_here(snapshot, node_id)
    host = of_host(name, snapshot.phase, snapshot.conditions, ready=snapshot.ready)
    return VerdictsDocument(_verdict(host), _verdict(of_cluster(mesh)))


def subnets(snapshot: StatusSnapshot, remaining: Mapping[int, float]) -> SubnetsDocument:
    """`GET /v1/subnets`: every lease known, with what became of it here.

    `remaining` maps etcd leases to the seconds they have left; if it is empty, rows have no `expires_in`.
    """
    last = snapshot.inputs.last
    return lease_rows.subnets(last, remaining) if last is not None else SubnetsDocument(0, True, (), ())


def peers(snapshot: StatusSnapshot, sessions: Iterable[SeenPeer] = (), *, now: float = 0.0) -> PeersDocument:
    """`GET /v1/peers`: every admitted peer, what became of it here, how probes reach it, and its sessions."""
    last, reach = snapshot.inputs.last, snapshot.inputs.reach
    return lease_rows.peers(last, reach, sessions, now=now) if last is not None else PeersDocument(())


def events(happened: Iterable[Event], *, epoch: str = "") -> EventsDocument:
    """`GET /v1/events`: oldest first."""
    return EventsDocument(epoch, tuple(_event(event) for event in happened))


def _event(event: Event) -> EventDocument:
    spell = event.spell
    return EventDocument(
        number=event.number,
        at=event.at,
        kind=event.kind.value,
        what=event.what,
        why=event.why,
        count=event.count,
        attributes=event.attributes,
        times=event.times,
        first_at=event.first_at,
        text=sentence(event),
        lasts=event.lasts,
        ended_at=spell.ended_at if spell is not None else None,
        lasted_s=round(spell.lasted, 3) if spell is not None else None,
        reasons=event.reasons,
        about=event.about,
        unlisted=event.unlisted,
    )


def difference(decision: Decision) -> DifferenceDocument:
    """`GET /v1/diff`."""
    held = decision.gate.value if decision.gate else ""
    if decision.hold:
        held = f"{decision.hold.peers} of {decision.hold.present} peers vanished at once"
    kept_back = set(decision.difference.ops) - set(decision.ops)
    return DifferenceDocument(
        trusted=decision.desired is not None,
        lines=tuple(render(op) for op in decision.ops),
        kinds=tuple(str(op.obj.key[0]) for op in decision.ops),
        held=held if kept_back else "",
        held_lines=tuple(render(op) for op in decision.difference.ops if op in kept_back),
        conflicts=tuple(describe(conflict.found) for conflict in decision.difference.conflicts),
    )


def _condition(condition: Condition, reach: ReachReport | None) -> ConditionDocument:
    return ConditionDocument(
        type=condition.type.value,
        status=condition.status.value,
        reason=condition.reason,
        message=condition.message,
        cure=condition.cure,
        since=condition.since,
        healthy=condition.healthy,
        evidence=tuple(condition.evidence),
        depends_on=tuple(cause.value for cause in condition.depends_on),
        problem=None if condition.healthy else _problem(condition, reach),
    )


def _problem(condition: Condition, reach: ReachReport | None) -> ProblemDocument:
    peers = reach.peers.values() if reach is not None else ()
    lost = (peer.diagnosis.trouble for peer in peers if peer.reach in {Reach.UNREACHABLE, Reach.LOSSY})
    known = problem_of(condition.type, condition.reason, lost)
    return ProblemDocument(known.id, known.meaning, known.page)


def _network(inputs: Inputs) -> NetworkDocument | None:
    network = inputs.network
    if network is None:
        return None
    return NetworkDocument(
        network=_text(network.network),
        network6=_text(network.network6),
        subnet_len=network.subnet_len,
        backend_type=network.backend_type,
        text=without_secrets(network.text),
    )


def _own(own: OwnStatus, now: float) -> OwnDocument | None:
    lease = own.lease
    if lease is None:
        return None
    return OwnDocument(
        key=str(lease.key),
        subnet=_text(lease.key.subnet),
        subnet6=_text(lease.key.subnet6),
        public_ip=_text(lease.record.public_ip),
        public_ip6=_text(lease.record.public_ip6),
        source=own.source.value,
        expires_in=round(own.expires_at - now, 1) if own.expires_at is not None else None,
        reservation=lease.is_reservation,
        lease_id=lease.lease_id,
    )


def _underlay(last: Pass | None) -> UnderlayDocument | None:
    underlay = last.world.facts.underlay if last else None
    if underlay is None:
        return None
    return UnderlayDocument(
        link=underlay.link,
        address=_text(underlay.address),
        address6=_text(underlay.address6),
        mtu=underlay.mtu,
        reason=underlay.reason,
    )


def _backend(inputs: Inputs) -> BackendDocument | None:
    if inputs.network is None or inputs.last is None:
        return None
    desired = inputs.last.decision.desired or {}
    return BackendDocument(
        type=inputs.network.backend_type,
        links=tuple(_link(obj, desired) for obj in desired.values() if isinstance(obj, OwnLink)),
        data_plane=_data_plane(inputs, desired),
        mtu=choice.mtu(inputs.last.world),
        ways=_ways(inputs.last),
        moving_from=_moving_from(inputs.last.world),
        cloud=inputs.cloud.backend if inputs.cloud is not None else None,
    )


def _data_plane(inputs: Inputs, desired: Objects) -> str | None:
    """Once chosen it stays so, but a network that moved to another backend has none."""
    return inputs.data_plane if any(isinstance(obj, TunnelEnd) for obj in desired.values()) else None


def _link(link: OwnLink, desired: Objects) -> LinkDocument:
    if isinstance(link, VxlanLink):
        return LinkDocument(link.name, str(link.mac), link.vni, link.port, link.mtu, str(link.local), "vxlan")
    port, local = None, str(link.local) if isinstance(link, IpipLink) else None
    end = desired.get(("tunnel", link.name))
    if isinstance(end, TunnelEnd):
        port, local = end.port, str(end.local)
    device = desired.get(("wgdevice", link.name))
    if isinstance(device, WgDevice):
        port = device.port
    kind = _KINDS[type(link)]
    return LinkDocument(link.name, mac=None, vni=None, port=port, mtu=link.mtu, local=local, kind=kind)


_KINDS: Final = {IpipLink: "ipip", TunLink: "tun", WireguardLink: "wireguard"}


def _ways(last: Pass) -> dict[str, int]:
    """Count the peers by the way they are reached."""
    if last.world.network is None:
        return {}
    way_of = choice.ways(last.world)
    return dict(Counter(str(way_of(peer)) for peer in last.admission.peers))


def _moving_from(world: World) -> str | None:
    return world.former.network.backend_type if world.former is not None else None


def _docker(inputs: Inputs) -> DockerDocument | None:
    """Return Docker's state, None while it is unknown; DockerConsistent judges it."""
    found = inputs.docker.found if inputs.docker else None
    if inputs.docker is None or found is None:
        return None
    return DockerDocument(
        version=str(found.version),
        live_restore=found.live_restore,
        running_containers=found.running,
        over_mtu=inputs.docker.over_mtu,
        default_bridge=_docker_network(found.default),
        network=_docker_network(found.own),
    )


def _tuning(tuning: HostTuning | None) -> TuningDocument | None:
    """None before the first look; whether it is as it should be is NeighboursFit and HostTuned."""
    if tuning is None:
        return None
    path = tuning.reverse_path
    return TuningDocument(
        reverse_path=ReversePathDocument(tuple(path.strict), path.drops, path.drops_lately),
        neighbours=tuple(
            NeighbourTableDocument(
                family=table.family.name.lower(),
                limit=table.limit,
                needed=table.needed,
                refused=table.refused,
                refused_lately=table.refused_lately,
            )
            for table in tuning.neighbours
        ),
        bridge_filter=tuning.bridge_filter,
    )


def _docker_network(network: DockerNetwork | None) -> DockerNetworkDocument | None:
    if network is None:
        return None
    return DockerNetworkDocument(
        bridge=network.bridge,
        subnet=_text(network.subnet),
        gateway=_text(network.gateway),
        mtu=network.mtu,
        ip_masq=network.masquerade,
    )


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
