"""Peers and leases as rows: what became of each on this host, for documents and metrics alike.

Nothing here is kept: rows are made from the last pass when they are asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from flanpy.api.leases import (
    ExpiringSubnetDocument,
    InvalidKeyDocument,
    PeerDocument,
    PeersDocument,
    SessionDocument,
    SubnetDocument,
    SubnetsDocument,
)
from flanpy.api.status import PeerCountsDocument
from flanpy.backend import choice
from flanpy.backend.way import Way
from flanpy.model.lease import BackendData, Lease, SubnetKey, VxlanData
from flanpy.model.naming import HostNames
from flanpy.model.objects import OwnLink, Route, TunnelPeer
from flanpy.model.ops import Objects
from flanpy.model.reach import PeerReach, ReachReport
from flanpy.model.wireguard import SeenPeer, WgPeer, fingerprint, session_state
from flanpy.reconcile.outcome import Pass


def peer_counts(last: Pass | None) -> PeerCountsDocument:
    """Count peers by what became of them."""
    if last is None:
        return PeerCountsDocument(wanted=0, programmed=0, pending=0, failed=0, rejected=0)
    wanted = len(last.admission.peers)
    planned = last.decision.desired is not None
    broken = _broken_subnets(last)
    failed = sum(_is_broken(peer, broken) for peer in last.admission.peers) if broken else 0
    if last.unreached:
        failed += sum(not _is_broken(peer, broken) for peer in last.unreached)
    return PeerCountsDocument(
        wanted=wanted,
        programmed=wanted - failed if planned else 0,
        pending=0 if planned else wanted,
        failed=failed if planned else 0,
        rejected=len(last.admission.rejected),
    )


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
    return {subnet for obj in broken for subnet in obj.destinations}


def _is_broken(lease: Lease, broken: set[object]) -> bool:
    return lease.key.subnet in broken or lease.key.subnet6 in broken


def subnets(last: Pass, remaining: Mapping[int, float]) -> SubnetsDocument:
    """Return every lease; rows have no `expires_in` if `remaining` (seconds by etcd lease) is empty."""
    view = last.world.view
    return SubnetsDocument(
        revision=view.revision,
        stale=view.stale,
        subnets=tuple(
            _expiring(row, remaining.get(lease.lease_id)) if remaining else row for row, lease in rows(last)
        ),
        invalid=tuple(InvalidKeyDocument(invalid.key, invalid.reason) for invalid in view.invalid),
    )


def peers(
    last: Pass, report: ReachReport | None, sessions: Iterable[SeenPeer] = (), *, now: float = 0.0
) -> PeersDocument:
    """Return every admitted peer, how probes reach it, and its sessions as the kernel has them."""
    by_key = defaultdict(list)
    for seen in sessions:
        by_key[seen.peer.public_key].append(seen)
    wanted = last.decision.desired or {}
    reached = report.peers if report is not None else {}
    found = rows(last, only_peers=True)
    return PeersDocument(
        tuple(
            replace(
                _peer(row, reached.get(lease.key, _NEVER_PROBED)),
                wireguard=tuple(
                    _session(seen, wanted, now) for seen in by_key.get(lease.record.wireguard_key, ())
                ),
            )
            for row, lease in found
        )
    )


def _session(seen: SeenPeer, wanted: Objects, now: float) -> SessionDocument:
    peer = seen.peer
    asked = wanted.get(peer.key)
    return SessionDocument(
        link=peer.link,
        key=fingerprint(peer.public_key),
        state=session_state(seen, now).value,
        endpoint=peer.socket if seen.has_endpoint else None,
        endpoint_wanted=asked.socket if isinstance(asked, WgPeer) else "",
        handshake_at=seen.handshake or None,
        received=seen.received,
        sent=seen.sent,
    )


def rows(last: Pass, *, only_peers: bool = False) -> Iterator[tuple[SubnetDocument, Lease]]:
    """Yield each lease with its row, in the order of the subnets."""
    fates = _Fates.of_pass(last)
    names = HostNames.among(last.world.view.leases.values())
    way_of = choice.ways(last.world) if last.world.network is not None else None
    leases = fates.peers if only_peers else last.world.view.leases
    for text, lease in sorted(leases.items(), key=lambda item: _order(item[1])):
        way = way_of(lease) if way_of is not None and text in fates.peers else None
        yield _row(lease, names.of(lease), way, *fates.of(text, lease, way)), lease


def _expiring(row: SubnetDocument, left: float | None) -> ExpiringSubnetDocument:
    return ExpiringSubnetDocument(**{name: getattr(row, name) for name in _ROW}, expires_in=left)


_ROW: Final = tuple(field.name for field in fields(SubnetDocument))


def _peer(row: SubnetDocument, peer: PeerReach) -> PeerDocument:
    return PeerDocument(
        node_id=row.node_id,
        host=row.host,
        subnet=row.subnet,
        subnet6=row.subnet6,
        way=row.way,
        state=row.state,
        reason=row.reason,
        public_ip=row.public_ip or row.public_ip6,
        reach=peer.reach.value,
        trouble=peer.diagnosis.trouble.value,
        evidence=peer.diagnosis.evidence,
        cure=peer.diagnosis.cure,
        rtt_ms=_milliseconds(peer.overlay.rtt),
        loss=peer.overlay.loss if peer.overlay.sent else None,
        underlay_rtt_ms=_milliseconds(peer.underlay.rtt),
        underlay_loss=peer.underlay.loss if peer.underlay.sent else None,
        path_mtu=peer.mtu.passed,
        path_mtu_wanted=peer.mtu.wanted,
        changed_at=peer.changed_at or None,
    )


_NEVER_PROBED = PeerReach(SubnetKey(None), "", None, None)


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


@dataclass(frozen=True, slots=True)
class _Fates:
    """The outcome of one pass for each lease; `rejected` gives the reason by the lease's key."""

    own: Lease | None
    peers: Mapping[str, Lease]
    rejected: Mapping[str, str]
    unreached: frozenset[str]
    broken: set[object]
    planned: bool

    @classmethod
    def of_pass(cls, last: Pass) -> _Fates:
        return cls(
            own=last.world.own,
            peers={str(lease.key): lease for lease in last.admission.peers},
            rejected={str(one.lease.key): one.message for one in last.admission.rejected},
            unreached=frozenset(str(lease.key) for lease in last.unreached),
            broken=_broken_subnets(last),
            planned=last.decision.desired is not None,
        )

    def of(self, text: str, lease: Lease, way: Way | None) -> tuple[str, str]:
        """Return the lease's state and the reason for it."""
        if self.own is not None and lease.key == self.own.key:
            return "own", ""
        if text in self.rejected:
            return "rejected", self.rejected[text]
        if lease.is_reservation and text not in self.peers:
            return "reserved", ""
        if not self.planned:
            return "pending", ""
        if _is_broken(lease, self.broken):
            return "failed", "its route does not stand; see flanpyctl status"
        if text in self.unreached and way is not None:
            return "failed", way.reason
        return "programmed", ""


def _order(lease: Lease) -> tuple[int, int]:
    key = lease.key
    return (
        int(key.subnet.network_address) if key.subnet else 0,
        int(key.subnet6.network_address) if key.subnet6 else 0,
    )


def _row(lease: Lease, host: str, way: Way | None, state: str, reason: str) -> SubnetDocument:
    record = lease.record
    return SubnetDocument(
        key=str(lease.key),
        subnet=_text(lease.key.subnet),
        subnet6=_text(lease.key.subnet6),
        node_id=record.node_id,
        host=host,
        public_ip=_text(record.public_ip),
        public_ip6=_text(record.public_ip6),
        backend_type=record.backend_type,
        vtep_mac=_mac(record.backend_data),
        vtep_mac6=_mac(record.backend_data6),
        vni=record.backend_data.vni if isinstance(record.backend_data, VxlanData) else None,
        lease_id=lease.lease_id,
        reservation=lease.is_reservation,
        way="" if way is None else str(way),
        way_reason="" if way is None else way.reason,
        own=state == "own",
        state=state,
        reason=reason,
    )


def _mac(extra: BackendData | None) -> str | None:
    return str(extra.mac) if isinstance(extra, VxlanData) else None


def _text(value: object | None) -> str | None:
    return None if value is None else str(value)
