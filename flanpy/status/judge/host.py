"""Judges this host beside the overlay: its files, listeners and settings, Docker and the packet filter."""

from __future__ import annotations

from flanpy.backend import choice
from flanpy.model.cloud import CLOUDS
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.objects import HostSysctl, Route
from flanpy.plan.host_settings import FORWARD4, FORWARD6, bridges
from flanpy.plan.render import describe
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, named, unknown

_FORWARDING = (("sysctl", FORWARD4), ("sysctl", FORWARD6))
"""Looked up by their keys: there may be thousands of objects."""


def forwarding(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.FORWARDING_ENABLED, inputs.last
    if last is None or last.decision.desired is None:
        return unknown(kind, "NotRead", "not looked at before the backend is planned")
    failed = [f for f in last.failures if isinstance(f.op.obj, HostSysctl)]
    if failed:
        return bad(kind, "Refused", str(failed[0].error), f"run: {describe(failed[0].op.obj)}")
    if off := _links_off(last):
        names = [f"net.ipv4.conf.{link.replace('.', '/')}.forwarding" for link in off]
        message = f"nothing is forwarded that comes in by {named(off)}: the link's own switch is off"
        cure = (
            f"run: sysctl -w {' '.join(f'{name}=1' for name in names)}, and find what sets it: /etc/sysctl.d"
        )
        return bad(kind, "OffOnLink", message, cure, evidence=[f"{name} = 0" for name in names])
    if any(key in last.decision.desired for key in _FORWARDING):
        return good(kind, "On", "the host forwards")
    return good(
        kind, "NotNeeded", "no bridge has an address in our subnet yet, so there is nothing to forward"
    )


def _links_off(last: Pass) -> list[str]:
    """Return the links of others that packets of the overlay come in by, and that forward nothing.

    A device of ours is put right by the loop. Where packets are not wrapped they come in by the links of our routes.
    """
    off = last.world.facts.not_forwarding - choice.links(last.world)
    desired = last.decision.desired or {}
    if not off or _FORWARDING[0] not in desired:
        return []
    used = bridges(last.world) | {obj.link for obj in desired.values() if isinstance(obj, Route)}
    network, underlay = last.world.network, last.world.facts.underlay
    if network is not None and network.backend_type in CLOUDS and underlay is not None:
        used |= {underlay.link}
    return sorted(off & used)


def subnet_file(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.SUBNET_FILE_WRITTEN
    if inputs.subnet_file_error:
        return bad(kind, "WriteFailed", inputs.subnet_file_error, "make room or correct --subnet-file")
    if not inputs.subnet_file:
        return unknown(kind, "NotWritten", "not written before a subnet is leased")
    return good(kind, "Written", inputs.subnet_file)


def lease_file(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.LEASE_SAVED
    if inputs.lease_file_error:
        cure = "make room or correct --state-dir; a boot without etcd would have no subnet"
        return bad(kind, "WriteFailed", inputs.lease_file_error, cure)
    if not inputs.lease_file:
        return good(kind, "None", "no lease to save yet")
    return good(kind, "Saved", inputs.lease_file)


def listeners(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.LISTENERS_UP
    if inputs.listeners_error:
        cure = "end what holds the address, or choose another; it is tried again"
        return bad(kind, "CannotListen", inputs.listeners_error, cure)
    if inputs.listeners is None:
        return good(kind, "NotTried", "the first peers are programmed before anybody is answered")
    return good(kind, "Listening", inputs.listeners)


def restart(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.RESTART_NEEDED
    pending = "; ".join(filter(None, (inputs.pending_settings, inputs.pending_network, inputs.pending_lease)))
    if pending:
        return bad(kind, "ConfigChanged", pending, "restart flanpyd", status=Status.TRUE)
    reserved = _reserved_beside(inputs)
    if reserved:
        message = f"{reserved[0]} is reserved for this host, which holds another subnet"
        cure = "to move to it, drain this host and start flanpyd again: flanpyctl drain"
        return bad(kind, "OtherReserved", message, cure, status=Status.TRUE, evidence=reserved)
    return good(kind, "None", "everything set is in force", status=Status.FALSE)


def _reserved_beside(inputs: Inputs) -> list[str]:
    """Reservations for this host, by its node id or else its address, while it holds another subnet (P29)."""
    last = inputs.last
    own = last.world.own if last is not None else None
    if last is None or own is None:
        return []
    node_id, ours = last.world.policy.node_id, {own.record.public_ip, own.record.public_ip6} - {None}
    return [
        text
        for text, lease in last.world.view.leases.items()
        if lease.is_reservation
        and lease.key != own.key
        and (lease.record.node_id == node_id if lease.record.node_id else lease.record.public_ip in ours)
    ]
