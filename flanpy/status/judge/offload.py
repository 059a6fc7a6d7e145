"""Judges whether checksums may be left to the network card, and whether the VXLAN device does as decided (P07)."""

from __future__ import annotations

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.objects import LinkFeature, VxlanLink
from flanpy.model.offload import Offload, OffloadChoice, OffloadReason
from flanpy.model.ops import OpFailure
from flanpy.plan.offload import checksum_offload
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, unmeasured

_KIND = ConditionType.CHECKSUM_OFFLOAD


def offload(inputs: Inputs, _now: float) -> Condition:
    last = inputs.last
    if last is None or last.decision.desired is None:
        return unmeasured(_KIND, "NotPlanned", "lease, network config or underlay are not there yet")
    if not any(isinstance(obj, VxlanLink) for obj in last.decision.desired.values()):
        return good(_KIND, "NotNeeded", "the backend has no VXLAN device")
    decided = checksum_offload(last.world)
    refused = _refused(last)
    if refused is not None:
        return _cannot(decided, refused)
    if decided.corruption is not None and last.world.policy.tx_checksum is not OffloadChoice.OFF:
        return _corrupted(decided)
    status = Status.TRUE if decided.on else Status.FALSE
    return good(_KIND, decided.reason.value, _said(decided), status=status)


def _said(decided: Offload) -> str:
    return f"checksum offload is {'on' if decided.on else 'off'}: {decided.why}"


def _corrupted(decided: Offload) -> Condition:
    """Off as it is, a network card that errs costs throughput; on, it costs the packets."""
    assert decided.corruption is not None
    evidence = (
        *map(str, decided.corruption.drivers),
        *(f"seen by {peer}" for peer in decided.corruption.peers),
    )
    if decided.on:
        peers = ", ".join(decided.corruption.peers)
        text = f"packets come corrupted to {peers}, and {decided.why}"
        cure = "set vxlan-tx-checksum to auto or off, and reload"
        return bad(_KIND, "CorruptedAndOn", text, cure, evidence=evidence)
    cure = (
        "update driver and firmware of the network card, and boot: it is measured again; "
        "or keep it: vxlan-tx-checksum = off"
    )
    return bad(_KIND, OffloadReason.CORRUPTED.value, _said(decided), cure, evidence=evidence)


def _refused(last: Pass) -> OpFailure | None:
    return next((one for one in last.failures if isinstance(one.op.obj, LinkFeature)), None)


def _cannot(decided: Offload, refused: OpFailure) -> Condition:
    wanted = "on" if decided.on else "off"
    text = f"checksum offload cannot be switched {wanted} ({decided.why}): {refused.error}"
    return bad(_KIND, "Refused", text, "give flanpyd the capability CAP_NET_ADMIN; it is tried again")
