"""The snapshot as JSON documents for the control socket; keys are snake_case and stable.

Nothing here is kept: a document is made from the frozen snapshot when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flanpy.backend import choice
from flanpy.docker.facts import DockerNetwork
from flanpy.model.condition import Condition
from flanpy.model.event import Event
from flanpy.model.lease import BackendData, Lease, SubnetKey, VxlanData
from flanpy.model.objects import ExtensionPeer, KernelObject, OwnLink, Route, TunnelEnd, TunnelPeer, VxlanLink
from flanpy.model.reach import PeerReach
from flanpy.model.world import World
from flanpy.plan.decision import Decision
from flanpy.plan.ops import Objects
from flanpy.plan.render import describe, render
from flanpy.reconcile.loop import Pass
from flanpy.status.board import StatusSnapshot
from flanpy.status.inputs import Inputs, OwnStatus

Document = dict[str, Any]


def status(snapshot: StatusSnapshot, *, now: float, head: Document) -> Document:
    """`GET /v1/status`. `head` holds what never changes: version, node_id, pid, started_at."""
    inputs = snapshot.inputs
    return {
        **head,
        "phase": snapshot.phase.value,
        "ready": snapshot.ready,
        "conditions": [_condition(condition) for condition in snapshot.conditions],
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
        },
        "docker": _docker(inputs),
        "passes": {
            "count": snapshot.totals.passes,
            "last_took_ms": round(inputs.last.took * 1000, 3) if inputs.last else None,
            "last_ops": len(inputs.last.decision.ops) if inputs.last else 0,
            "resyncs": dict(snapshot.totals.resyncs),
            "repairs": dict(snapshot.totals.repairs),
        },
    }


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
        "subnets": [row for row, _ in _rows(last, remaining)],
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
    rows = _rows(last, {}, only_peers=True)
    return {"peers": [{**_placed(row), **_probed(reached.get(lease.key))} for row, lease in rows]}


def events(happened: Iterable[Event]) -> Document:
    """`GET /v1/events`: oldest first."""
    return {
        "events": [
            {
                "number": event.number,
                "at": event.at,
                "kind": event.kind.value,
                "what": event.what,
                "why": event.why,
                "count": event.count,
            }
            for event in happened
        ]
    }


def difference(decision: Decision) -> Document:
    """`GET /v1/diff`: what the next pass would do, as lines of `ip` and `bridge`."""
    held = decision.gate.value if decision.gate else ""
    if decision.hold:
        held = f"{decision.hold.peers} of {decision.hold.present} peers vanished at once"
    kept_back = set(decision.difference.ops) - set(decision.ops)
    return {
        "trusted": decision.desired is not None,
        "lines": [render(op) for op in decision.ops],
        "held": held if kept_back else "",
        "held_lines": [render(op) for op in decision.difference.ops if op in kept_back],
        "conflicts": [describe(conflict.found) for conflict in decision.difference.conflicts],
    }


def peer_counts(last: Pass | None) -> Document:
    """Peers by what became of them: `wanted` = `programmed` + `pending` + `failed`; `rejected` beside them."""
    if last is None:
        return dict.fromkeys(("wanted", "programmed", "pending", "failed", "rejected"), 0)
    wanted = len(last.admission.peers)
    planned = last.decision.desired is not None
    broken = _broken_subnets(last)
    failed = sum(_is_broken(peer, broken) for peer in last.admission.peers) if broken else 0
    if last.unreached:
        failed += sum(not _is_broken(peer, broken) for peer in last.unreached)
    return {
        "wanted": wanted,
        "programmed": wanted - failed if planned else 0,
        "pending": 0 if planned else wanted,
        "failed": failed if planned else 0,
        "rejected": len(last.admission.rejected),
    }


def _broken_subnets(last: Pass) -> set[object]:
    """Destinations whose route is not there: refused, in a foreign one's place, or on a link that is another's.

    A peer is as good as its last object, the route or its place in the tunnel's table: what it leads over goes first,
    and fails first.
    """
    conflicts = [conflict.wanted for conflict in last.decision.difference.conflicts]
    taken = {obj.name for obj in conflicts if isinstance(obj, OwnLink)}
    desired = (last.decision.desired or {}).values() if taken else ()
    broken = [*(failure.op.obj for failure in last.failures), *conflicts]
    broken += [obj for obj in desired if isinstance(obj, Route | TunnelPeer) and obj.link in taken]
    return {subnet for obj in broken for subnet in _destinations(obj)}


def _destinations(obj: KernelObject) -> tuple[object, ...]:
    """The subnets that an object leads to."""
    match obj:
        case Route(destination=subnet) | TunnelPeer(subnet=subnet):
            return (subnet,)
        case ExtensionPeer(subnets=key):
            return tuple(subnet for subnet in (key.subnet, key.subnet6) if subnet is not None)
        case _:
            return ()


def _is_broken(lease: Lease, broken: set[object]) -> bool:
    return lease.key.subnet in broken or lease.key.subnet6 in broken


def _placed(row: Document) -> Document:
    """What `/v1/peers` tells of a lease's row."""
    same = ("node_id", "subnet", "subnet6", "way", "state", "reason")
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


def _rows(
    last: Pass, remaining: Mapping[int, float], *, only_peers: bool = False
) -> Iterator[tuple[Document, Lease]]:
    own = last.world.own
    rejected = {str(r.lease.key): r.message for r in last.admission.rejected}
    broken = _broken_subnets(last)
    lost = {str(lease.key) for lease in last.unreached}
    peers = {str(lease.key): lease for lease in last.admission.peers}
    way_of = choice.ways(last.world) if last.world.network is not None else None
    leases = peers if only_peers else last.world.view.leases
    for text, lease in sorted(leases.items(), key=lambda item: _order(item[1])):
        state, reason = "programmed", ""
        way = way_of(lease) if way_of is not None and text in peers else None
        if own is not None and lease.key == own.key:
            state = "own"
        elif text in rejected:
            state, reason = "rejected", rejected[text]
        elif last.decision.desired is None:
            state = "pending"
        elif _is_broken(lease, broken):
            state, reason = "failed", "its route does not stand; see flanpyctl status"
        elif text in lost and way is not None:
            state, reason = "failed", way.reason
        row = {
            **_lease(lease),
            "way": "" if way is None else str(way),
            "way_reason": "" if way is None else way.reason,
            "own": state == "own",
            "state": state,
            "reason": reason,
            **({"expires_in": remaining.get(lease.lease_id)} if remaining else {}),
        }
        yield row, lease


def _order(lease: Lease) -> tuple[int, int]:
    key = lease.key
    return (
        int(key.subnet.network_address) if key.subnet else 0,
        int(key.subnet6.network_address) if key.subnet6 else 0,
    )


def _lease(lease: Lease) -> Document:
    record = lease.record
    return {
        "key": str(lease.key),
        "subnet": _text(lease.key.subnet),
        "subnet6": _text(lease.key.subnet6),
        "node_id": record.node_id,
        "public_ip": _text(record.public_ip),
        "public_ip6": _text(record.public_ip6),
        "backend_type": record.backend_type,
        "vtep_mac": _mac(record.backend_data),
        "vtep_mac6": _mac(record.backend_data6),
        "vni": record.backend_data.vni if isinstance(record.backend_data, VxlanData) else None,
        "lease_id": lease.lease_id,
        "reservation": lease.is_reservation,
    }


def _condition(condition: Condition) -> Document:
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
    }


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
    }


def _data_plane(inputs: Inputs, desired: Objects) -> str | None:
    """Once chosen it stays so, but a network that moved to another backend has none."""
    return inputs.data_plane if any(isinstance(obj, TunnelEnd) for obj in desired.values()) else None


def _link(link: OwnLink, desired: Objects) -> Document:
    if isinstance(link, VxlanLink):
        mac, vni, port, local = str(link.mac), link.vni, link.port, str(link.local)
        return {"name": link.name, "mac": mac, "vni": vni, "port": port, "mtu": link.mtu, "local": local}
    end = desired.get(("tunnel", link.name))
    where = {"port": end.port, "local": str(end.local)} if isinstance(end, TunnelEnd) else {}
    return {
        "name": link.name,
        "mac": None,
        "vni": None,
        "port": None,
        "mtu": link.mtu,
        "local": None,
        **where,
    }


def _ways(last: Pass) -> dict[str, int]:
    """How many peers are reached how."""
    if last.world.network is None:
        return {}
    way_of = choice.ways(last.world)
    return dict(Counter(str(way_of(peer)) for peer in last.admission.peers))


def _moving_from(world: World) -> str | None:
    return world.former.network.backend_type if world.former is not None else None


def _docker(inputs: Inputs) -> Document | None:
    """What Docker runs, None while that is not known; whether that is right is DockerConsistent."""
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


def _mac(extra: BackendData | None) -> str | None:
    return str(extra.mac) if isinstance(extra, VxlanData) else None


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
