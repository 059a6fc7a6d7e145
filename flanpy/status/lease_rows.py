"""Peers and leases as rows: what became of each on this host, for documents and metrics alike.

Nothing here is kept: rows are made from the last pass when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flanpy.backend import choice
from flanpy.model.lease import BackendData, Lease, VxlanData
from flanpy.model.naming import HostNames
from flanpy.model.objects import ExtensionPeer, KernelObject, OwnLink, Route, TunnelPeer
from flanpy.reconcile.outcome import Pass

Document = dict[str, Any]


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
            return key.subnets
        case _:
            return ()


def _is_broken(lease: Lease, broken: set[object]) -> bool:
    return lease.key.subnet in broken or lease.key.subnet6 in broken


def rows(
    last: Pass, remaining: Mapping[int, float], *, only_peers: bool = False
) -> Iterator[tuple[Document, Lease]]:
    own, names = last.world.own, HostNames.among(last.world.view.leases.values())
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
        elif lease.is_reservation and text not in peers:
            state = "reserved"
        elif last.decision.desired is None:
            state = "pending"
        elif _is_broken(lease, broken):
            state, reason = "failed", "its route does not stand; see flanpyctl status"
        elif text in lost and way is not None:
            state, reason = "failed", way.reason
        row = {
            **_lease(lease, names),
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


def _lease(lease: Lease, names: HostNames) -> Document:
    record = lease.record
    return {
        "key": str(lease.key),
        "subnet": _text(lease.key.subnet),
        "subnet6": _text(lease.key.subnet6),
        "node_id": record.node_id,
        "host": names.of(lease),
        "public_ip": _text(record.public_ip),
        "public_ip6": _text(record.public_ip6),
        "backend_type": record.backend_type,
        "vtep_mac": _mac(record.backend_data),
        "vtep_mac6": _mac(record.backend_data6),
        "vni": record.backend_data.vni if isinstance(record.backend_data, VxlanData) else None,
        "lease_id": lease.lease_id,
        "reservation": lease.is_reservation,
    }


def _mac(extra: BackendData | None) -> str | None:
    return str(extra.mac) if isinstance(extra, VxlanData) else None


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
