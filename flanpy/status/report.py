"""The snapshot as JSON documents for the control socket; keys are snake_case and stable.

Nothing here is kept: a document is made from the frozen snapshot when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from flanpy.backend import choice
from flanpy.docker.facts import DockerNetwork
from flanpy.model.condition import Condition
from flanpy.model.event import Event
from flanpy.model.ipip import IpipLink
from flanpy.model.lease import SubnetKey
from flanpy.model.objects import OwnLink, TunnelEnd, VxlanLink
from flanpy.model.ops import Objects
from flanpy.model.problem import problem_of
from flanpy.model.reach import PeerReach, Reach, ReachReport
from flanpy.model.tuning import HostTuning
from flanpy.model.world import World
from flanpy.plan.decision import Decision
from flanpy.plan.host_names import own_name
from flanpy.plan.render import describe, render
from flanpy.reconcile.outcome import Pass
from flanpy.status.board import StatusSnapshot
from flanpy.status.inputs import Inputs, OwnStatus
from flanpy.status.judge.networks import free_addresses
from flanpy.status.judge.summary import of_cluster, of_host
from flanpy.status.lease_rows import peer_counts, rows
from flanpy.status.story import sentence

Document = dict[str, Any]


def status(snapshot: StatusSnapshot, *, now: float, head: Document) -> Document:
    """`GET /v1/status`. `head` holds what never changes: version, node_id, pid, started_at."""
    inputs = snapshot.inputs
    return {
        **head,
        "host": name_here(snapshot, head),
        "verdict": of_host(
            name_here(snapshot, head), snapshot.phase, snapshot.conditions, ready=snapshot.ready
        ).as_json(),
        "phase": snapshot.phase.value,
        "ready": snapshot.ready,
        "conditions": [_condition(condition, inputs.reach) for condition in snapshot.conditions],
        "network": _network(inputs),
        "own": _own(inputs.own, now),
        "underlay": _underlay(inputs.last),
        "backend": _backend(inputs),
        "peers": peer_counts(inputs.last),
        "store": {
            "endpoint": inputs.store.endpoint,
            "revision": inputs.last.world.view.revision if inputs.last else 0,
            "stale": inputs.store.stale,
            "outage_since": inputs.store.outage_since,
            "listed": inputs.store.listed,
        },
        "docker": _docker(inputs),
        "tuning": _tuning(inputs.tuning),
        "networks": _networks(inputs),
        "pools": [{"total": pool.total, "free": pool.free} for pool in inputs.pools if pool is not None],
        "passes": {
            "count": snapshot.totals.passes,
            "last_took_ms": round(inputs.last.took * 1000, 3) if inputs.last else None,
            "last_ops": len(inputs.last.decision.ops) if inputs.last else 0,
            "resyncs": dict(snapshot.totals.resyncs),
            "repairs": dict(snapshot.totals.repairs),
        },
    }


def _networks(inputs: Inputs) -> list[Document]:
    """Return the named networks of this host; `members` are the other hosts, `free` addresses of the slice."""
    if inputs.last is None:
        return []
    world = inputs.last.world
    return [
        {
            "name": one.network.name,
            "subnet": str(one.network.subnet),
            "ipv6_subnet": str(one.network.subnet6 or ""),
            "slice": str(one.slice),
            "vni": one.network.vni,
            "mtu": one.network.mtu,
            "bridge": one.bridge,
            "port": one.port,
            "in_docker": one.bridge in world.facts.bridges,
            "members": [str(member) for member in one.members],
            "containers": inputs.containers.get(one.port, 0),
            "free": free_addresses(inputs, one),
        }
        for one in world.named.networks
    ]


def name_here(snapshot: StatusSnapshot, head: Document) -> str:
    """Return this host's name, its node id before any lease was read."""
    last = snapshot.inputs.last
    return own_name(last.world) if last is not None else str(head.get("node_id"))


def verdicts(snapshot: StatusSnapshot, mesh: Document | None, head: Document) -> Document:
    """`GET /v1/verdict`: `{host, cluster}`, the one judgement that every view shows."""
    name = name_here(snapshot, head)
    host = of_host(name, snapshot.phase, snapshot.conditions, ready=snapshot.ready)
    return {"host": host.as_json(), "cluster": of_cluster(mesh).as_json()}


def subnets(snapshot: StatusSnapshot, remaining: Mapping[int, float]) -> Document:
    """`GET /v1/subnets`: every lease known, with what became of it here.

    `remaining` maps etcd leases to the seconds they have left; if it is empty, rows have no `expires_in`.
    """
    last = snapshot.inputs.last
    if last is None:
        return {"revision": 0, "stale": True, "subnets": [], "invalid": []}
    view = last.world.view
    return {
        "revision": view.revision,
        "stale": view.stale,
        "subnets": [row for row, _ in rows(last, remaining)],
        "invalid": [{"key": invalid.key, "reason": invalid.reason} for invalid in view.invalid],
    }


def peers(snapshot: StatusSnapshot) -> Document:
    """`GET /v1/peers`: every admitted peer, what became of it here, and how probes reach it.

    Times are milliseconds, losses shares from 0 to 1, both None while unknown; MTUs bytes, 0 while unknown.
    """
    last, report = snapshot.inputs.last, snapshot.inputs.reach
    if last is None:
        return {"peers": []}
    reached = report.peers if report is not None else {}
    found = rows(last, {}, only_peers=True)
    return {"peers": [{**_placed(row), **_probed(reached.get(lease.key))} for row, lease in found]}


def events(happened: Iterable[Event], *, epoch: str = "") -> Document:
    """`GET /v1/events`: oldest first. Numbers go on over a restart as long as `epoch` is the same."""
    return {"epoch": epoch, "events": [_event(event) for event in happened]}


def _event(event: Event) -> Document:
    spell = event.spell
    return {
        "number": event.number,
        "at": event.at,
        "kind": event.kind.value,
        "what": event.what,
        "why": event.why,
        "count": event.count,
        "attributes": event.attributes,
        "times": event.times,
        "first_at": event.first_at,
        "text": sentence(event),
        "lasts": event.lasts,
        "ended_at": spell.ended_at if spell is not None else None,
        "lasted_s": round(spell.lasted, 3) if spell is not None else None,
        "reasons": event.reasons,
        "about": event.about,
        "unlisted": event.unlisted,
    }


def difference(decision: Decision) -> Document:
    """`GET /v1/diff`: what the next pass would do, as lines of `ip` and `bridge`, and the kind of each one's object."""
    held = decision.gate.value if decision.gate else ""
    if decision.hold:
        held = f"{decision.hold.peers} of {decision.hold.present} peers vanished at once"
    kept_back = set(decision.difference.ops) - set(decision.ops)
    return {
        "trusted": decision.desired is not None,
        "lines": [render(op) for op in decision.ops],
        "kinds": [str(op.obj.key[0]) for op in decision.ops],
        "held": held if kept_back else "",
        "held_lines": [render(op) for op in decision.difference.ops if op in kept_back],
        "conflicts": [describe(conflict.found) for conflict in decision.difference.conflicts],
    }


def _placed(row: Document) -> Document:
    """Return the part of a lease's row that `/v1/peers` shows."""
    same = ("node_id", "host", "subnet", "subnet6", "way", "state", "reason")
    return {**{key: row[key] for key in same}, "public_ip": row["public_ip"] or row["public_ip6"]}


def _probed(peer: PeerReach | None) -> Document:
    peer = peer or _NEVER_PROBED
    return {
        "reach": peer.reach.value,
        "trouble": peer.diagnosis.trouble.value,
        "evidence": peer.diagnosis.evidence,
        "cure": peer.diagnosis.cure,
        "rtt_ms": _milliseconds(peer.overlay.rtt),
        "loss": peer.overlay.loss if peer.overlay.sent else None,
        "underlay_rtt_ms": _milliseconds(peer.underlay.rtt),
        "underlay_loss": peer.underlay.loss if peer.underlay.sent else None,
        "path_mtu": peer.mtu.passed,
        "path_mtu_wanted": peer.mtu.wanted,
        "changed_at": peer.changed_at or None,
    }


_NEVER_PROBED = PeerReach(SubnetKey(None), "", None, None)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _condition(condition: Condition, reach: ReachReport | None) -> Document:
    return {
        "type": condition.type.value,
        "status": condition.status.value,
        "reason": condition.reason,
        "message": condition.message,
        "cure": condition.cure,
        "since": condition.since,
        "healthy": condition.healthy,
        "evidence": list(condition.evidence),
        "depends_on": [cause.value for cause in condition.depends_on],
        "problem": None if condition.healthy else _problem(condition, reach),
    }


def _problem(condition: Condition, reach: ReachReport | None) -> Document:
    peers = reach.peers.values() if reach is not None else ()
    lost = (peer.diagnosis.trouble for peer in peers if peer.reach in {Reach.UNREACHABLE, Reach.LOSSY})
    known = problem_of(condition.type, condition.reason, lost)
    return {"id": known.id, "meaning": known.meaning, "page": known.page}


def _network(inputs: Inputs) -> Document | None:
    network = inputs.network
    if network is None:
        return None
    return {
        "network": _text(network.network),
        "network6": _text(network.network6),
        "subnet_len": network.subnet_len,
        "backend_type": network.backend_type,
        "text": network.text,
    }


def _own(own: OwnStatus, now: float) -> Document | None:
    lease = own.lease
    if lease is None:
        return None
    return {
        "key": str(lease.key),
        "subnet": _text(lease.key.subnet),
        "subnet6": _text(lease.key.subnet6),
        "public_ip": _text(lease.record.public_ip),
        "public_ip6": _text(lease.record.public_ip6),
        "source": own.source.value,
        "expires_in": round(own.expires_at - now, 1) if own.expires_at is not None else None,
        "reservation": lease.is_reservation,
        "lease_id": lease.lease_id,
    }


def _underlay(last: Pass | None) -> Document | None:
    underlay = last.world.facts.underlay if last else None
    if underlay is None:
        return None
    return {
        "link": underlay.link,
        "address": _text(underlay.address),
        "address6": _text(underlay.address6),
        "mtu": underlay.mtu,
        "reason": underlay.reason,
    }


def _backend(inputs: Inputs) -> Document | None:
    if inputs.network is None or inputs.last is None:
        return None
    desired = inputs.last.decision.desired or {}
    return {
        "type": inputs.network.backend_type,
        "links": [_link(obj, desired) for obj in desired.values() if isinstance(obj, OwnLink)],
        "data_plane": _data_plane(inputs, desired),
        "mtu": choice.mtu(inputs.last.world),
        "ways": _ways(inputs.last),
        "moving_from": _moving_from(inputs.last.world),
        "cloud": inputs.cloud.backend if inputs.cloud is not None else None,
    }


def _data_plane(inputs: Inputs, desired: Objects) -> str | None:
    """Once chosen it stays so, but a network that moved to another backend has none."""
    return inputs.data_plane if any(isinstance(obj, TunnelEnd) for obj in desired.values()) else None


def _link(link: OwnLink, desired: Objects) -> Document:
    if isinstance(link, VxlanLink):
        mac, vni, port, local = str(link.mac), link.vni, link.port, str(link.local)
        return {"name": link.name, "mac": mac, "vni": vni, "port": port, "mtu": link.mtu, "local": local}
    source = str(link.local) if isinstance(link, IpipLink) else None
    end = desired.get(("tunnel", link.name))
    where = {"port": end.port, "local": str(end.local)} if isinstance(end, TunnelEnd) else {}
    return {
        "name": link.name,
        "mac": None,
        "vni": None,
        "port": None,
        "mtu": link.mtu,
        "local": source,
        **where,
    }


def _ways(last: Pass) -> dict[str, int]:
    """Count the peers by the way they are reached."""
    if last.world.network is None:
        return {}
    way_of = choice.ways(last.world)
    return dict(Counter(str(way_of(peer)) for peer in last.admission.peers))


def _moving_from(world: World) -> str | None:
    return world.former.network.backend_type if world.former is not None else None


def _docker(inputs: Inputs) -> Document | None:
    """Return Docker's state, None while it is unknown; DockerConsistent judges it."""
    found = inputs.docker.found if inputs.docker else None
    if inputs.docker is None or found is None:
        return None
    return {
        "version": str(found.version),
        "live_restore": found.live_restore,
        "running_containers": found.running,
        "over_mtu": inputs.docker.over_mtu,
        "default_bridge": _docker_network(found.default),
        "network": _docker_network(found.own),
    }


def _tuning(tuning: HostTuning | None) -> Document | None:
    """None before the first look; whether it is as it should be is NeighboursFit and HostTuned."""
    if tuning is None:
        return None
    path = tuning.reverse_path
    return {
        "reverse_path": {
            "strict": list(path.strict),
            "drops": path.drops,
            "drops_lately": path.drops_lately,
        },
        "neighbours": [
            {
                "family": table.family.name.lower(),
                "limit": table.limit,
                "needed": table.needed,
                "refused": table.refused,
                "refused_lately": table.refused_lately,
            }
            for table in tuning.neighbours
        ],
        "bridge_filter": tuning.bridge_filter,
    }


def _docker_network(network: DockerNetwork | None) -> Document | None:
    if network is None:
        return None
    return {
        "bridge": network.bridge,
        "subnet": _text(network.subnet),
        "gateway": _text(network.gateway),
        "mtu": network.mtu,
        "ip_masq": network.masquerade,
    }


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
