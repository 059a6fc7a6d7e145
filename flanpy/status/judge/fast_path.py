"""Judges whether containers' flows are carried past this host's stack, and tells why not."""

from __future__ import annotations

from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.fast_path import FastReason
from flanpy.status.inputs import Inputs
from flanpy.status.judge.verdict import bad, good, unmeasured

_KIND = ConditionType.FAST_PATH

_CURES = {
    FastReason.REFUSED: "kernel 5.13 or newer is needed, and flanpyd the capabilities CAP_BPF, CAP_PERFMON and"
    " CAP_NET_ADMIN; or set container-fast-path to auto or off",
    FastReason.RULES: "delete that rule, or set container-fast-path to auto or off",
    FastReason.SHAPED: "delete that queue (tc qdisc del), or set container-fast-path to auto or off",
    FastReason.NO_VXLAN: "set container-fast-path to auto or off: it is for the vxlan backend",
}
"""What is a fault where the operator asked for it, with what to do."""


def carries(inputs: Inputs, _now: float) -> Condition:
    state = inputs.fast_path
    if state is None or state.reason is FastReason.NOT_PLANNED:
        return unmeasured(_KIND, "NotPlanned", state.why if state is not None else "not looked at yet")
    if state.asked and not state.on and (cure := _CURES.get(state.reason)):
        return bad(_KIND, state.reason.value, state.why, cure)
    return good(_KIND, state.reason.value, state.why, status=Status.TRUE if state.on else Status.FALSE)
