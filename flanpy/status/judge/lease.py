"""Judges what etcd knows: that it is reached, the network config, and leases, ours and those of the peers."""

from __future__ import annotations

from collections.abc import Sequence

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.reach import Trouble
from flanpy.plan.refusal import BORDER, Reason
from flanpy.status.inputs import Inputs, OwnSource
from flanpy.status.judge.verdict import BRIEF, bad, good, named, unknown

_NOBODY = frozenset({Trouble.NO_UNDERLAY, Trouble.PEER_DOWN})
"""Troubles of a peer whose host does not answer on the underlay either."""


def datastore(inputs: Inputs, _now: float) -> Condition:
    kind, store = ConditionType.DATASTORE_REACHABLE, inputs.store
    if store.listed and store.error:
        cure = "mend the list, which is then taken by itself; forwarding goes on with what was last read"
        return bad(kind, "ListUnusable", store.error, cure)
    if not store.contacted and not store.error:
        return unknown(kind, "NotContacted", "no answer from etcd yet since start")
    if (store.stale or store.error) and (link := _without_carrier(inputs)):
        text = f"{link} has no carrier, and etcd cannot be reached"
        cure = f"check the cable of {link} and the port of the switch"
        return bad(kind, "NoCarrier", text, cure, evidence=[store.error] if store.error else ())
    if (store.stale or store.error) and (link := _cut_off(inputs)):
        text = f"{link} reaches neither etcd nor any other host"
        cure = f"check the cable of {link}, its VLAN, and the port of the switch"
        return bad(kind, "CutOff", text, cure, evidence=[store.error] if store.error else ())
    if store.stale or store.error:
        cure = "check etcd and the way to it; forwarding goes on with what was last heard"
        return bad(kind, "Unreachable", store.error or "the watch is lost", cure)
    return good(kind, "Connected", f"following {store.endpoint}")


def _without_carrier(inputs: Inputs) -> str:
    """Return the underlay's link if nothing is at the other end of its cable, else ""."""
    underlay = inputs.last.world.facts.underlay if inputs.last is not None else None
    return underlay.link if underlay is not None and not underlay.carrier else ""


def _cut_off(inputs: Inputs) -> str:
    """Return the underlay's link if probes find no host beyond it either, else ""."""
    underlay = inputs.last.world.facts.underlay if inputs.last is not None else None
    peers = inputs.reach.peers.values() if inputs.reach is not None else ()
    lost = [peer.diagnosis.trouble in _NOBODY for peer in peers]
    return underlay.link if underlay is not None and lost and all(lost) else ""


def network(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.NETWORK_CONFIG_VALID
    if inputs.network_error:
        cure = "" if inputs.network is None else "correct it with: flanpyctl network set"
        return bad(kind, "Invalid", inputs.network_error, cure)
    if inputs.network is None:
        return unknown(kind, "NotRead", "the network config was not read yet")
    message = "; ".join(inputs.network.warnings) or f"backend {inputs.network.backend_type}"
    return good(kind, "Valid", message)


def lease(inputs: Inputs, now: float) -> Condition:
    kind, own = ConditionType.LEASE_VALID, inputs.own
    if inputs.shut_out:
        cure = "on another host: flanpyctl keys allow NODE, once it is known to be clean"
        return bad(kind, "Revoked", "this host was revoked: peers refuse it, and it takes no lease", cure)
    if own.drained:
        cure = "flanpyctl drain --undo takes part again"
        return bad(kind, "Drained", "this host was drained: it takes no part in the overlay", cure)
    if own.lease is None:
        return bad(kind, "NotHeld", own.waiting or "no subnet is leased yet")
    if own.yielded:
        return bad(kind, "Lost", f"{own.lease.key} is another node's now: see LeaseConflict")
    if own.missing:
        cure = "let etcd take the write it refused; until then another host may be given the subnet"
        message = f"{own.missing}, and it could not be taken again"
        return bad(kind, "KeyMissing", message, cure, evidence=[own.waiting] if own.waiting else ())
    if own.expires_at is not None and own.expires_at <= now:
        cure = "bring etcd back: another node may be given the subnet from now on"
        return bad(kind, "Expired", f"the lease of {own.lease.key} has expired", cure)
    if own.source is OwnSource.DISK:
        return good(kind, "FromDisk", f"{own.lease.key} from the last run; etcd has not confirmed it yet")
    reason = "Reserved" if own.lease.is_reservation else "Leased"
    return good(kind, reason, f"{own.lease.key} is ours")


def conflict(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.LEASE_CONFLICT
    if inputs.own.conflict:
        cure = "see flanpyctl subnets; drain one of the two nodes"
        return bad(kind, "OwnedByAnother", inputs.own.conflict, cure, status=Status.TRUE)
    return good(kind, "None", "no other node claims our subnet", status=Status.FALSE)


def duplicate(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.DUPLICATE_PUBLIC_IP
    if inputs.own.duplicate_ip:
        cure = "give each host its own address, or set --public-ip or --iface"
        return bad(kind, "SharedAddress", inputs.own.duplicate_ip, cure, status=Status.TRUE)
    return good(kind, "None", "no other node advertises our public IP", status=Status.FALSE)


def peer_leases(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.PEER_LEASES_VALID, inputs.last
    if last is None:
        return good(kind, "None", "no leases yet")
    kept_out = [r for r in last.admission.rejected if r.reason in BORDER]
    shut_out = [r for r in last.admission.rejected if r.reason is Reason.REVOKED]
    offences = [f"{r.lease.key}: {r.message}" for r in (*shut_out, *kept_out)]
    offences += [f"{i.key}: {i.reason}" for i in last.world.view.invalid]
    offences += [
        f"{r.lease.key}: {r.message}"
        for r in last.admission.rejected
        if r.reason not in {*BORDER, Reason.REVOKED}
    ]
    if not offences and inputs.changed_hands:
        return _changed_hands(inputs.changed_hands)
    offences += inputs.changed_hands
    if not offences:
        return good(kind, "Valid", "every lease can be used")
    more = f" and {len(offences) - BRIEF} more" if len(offences) > BRIEF else ""
    cure = "see flanpyctl subnets; flanpyctl subnets release removes a key"
    message = "; ".join(offences[:BRIEF]) + more
    if shut_out:
        cure = "find out who writes that lease; flanpyctl keys allow takes the host back"
        return bad(kind, "Revoked", message, cure)
    return bad(kind, "KeptOut", message, cure) if kept_out else bad(kind, "Unusable", message, cure)


def _changed_hands(lines: Sequence[str]) -> Condition:
    cure = (
        "if that host was not moved on purpose, another program writes its key in etcd: find it, and give each host"
        " an etcd user that may write its own key only"
    )
    return bad(ConditionType.PEER_LEASES_VALID, "ChangedHands", named(lines, "; "), cure, evidence=lines)


def mass_delete(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.MASS_DELETE_HELD
    hold = inputs.last.decision.hold if inputs.last else None
    if hold is None:
        return good(kind, "None", "nothing is held", status=Status.FALSE)
    message = f"{hold.peers} of {hold.present} peers vanished at once; waiting for a second listing to agree"
    return bad(kind, "Held", message, "if this was meant, do nothing", status=Status.TRUE)
