"""Judges what the kernel carries packets by: underlay, backend, peers, and what of others stands in the way."""

from __future__ import annotations

from errno import EADDRINUSE, EOPNOTSUPP, EPERM

from flanpy.backend import choice
from flanpy.backend.cloud import stands
from flanpy.backend.registry import backend_for
from flanpy.errors import KernelError
from flanpy.kernel.port import OpFailure
from flanpy.model.condition import Condition, ConditionType
from flanpy.model.ipip import IpipLink
from flanpy.model.naming import HostNames
from flanpy.model.objects import (
    KernelObject,
    LinkFeature,
    LinkUp,
    OtherLink,
    TunLink,
)
from flanpy.model.put_order import PutOrder
from flanpy.model.wireguard import WgDevice, WireguardLink
from flanpy.model.world import Former
from flanpy.plan.admission import lease_type
from flanpy.printable import plural
from flanpy.reconcile.outcome import Pass
from flanpy.status.inputs import Inputs
from flanpy.status.judge.foreign import whose
from flanpy.status.judge.verdict import BRIEF, bad, good, unknown

_CURES = {
    EPERM: "give flanpyd the capability CAP_NET_ADMIN, or run it as root",
}


_MODULES = {
    TunLink: ("TUN devices", "tun"),
    IpipLink: ("IPIP", "ipip"),
    WireguardLink: ("WireGuard", "wireguard"),
}
"""The feature that a kernel lacks if it refuses the device, and the module that has it; else VXLAN."""

_PORT_CURE = (
    "end what holds the port (ss -ulpn), or choose another with Backend.ListenPort or Backend.ListenPortV6"
)
_TUNNEL_CURES = {
    EADDRINUSE: "end what holds the port (ss -ulpn), or choose another with Backend.Port; ours follows",
    EOPNOTSUPP: "set udp-plane to auto or user, or give flanpyd CAP_BPF on a kernel that has eBPF",
}


def underlay(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.UNDERLAY_READY
    facts = inputs.last.world.facts if inputs.last else None
    if facts is None or (facts.underlay is None and not facts.problem):
        return unknown(kind, "NotRead", "the links of this host were not read yet")
    if facts.underlay is None and facts.link_down:
        cure = f"ip link set {facts.link_down} up, if nobody took it down on purpose"
        return bad(kind, "LinkDown", f"{facts.link_down} is down", cure, evidence=[facts.problem])
    if facts.underlay is None:
        return bad(kind, "NoLink", facts.problem, "see --iface, --iface-regex, --iface-can-reach")
    return good(kind, "Chosen", facts.underlay.reason)


def backend(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.BACKEND_READY, inputs.last
    if inputs.backend_error:
        return bad(kind, "CommandFailed", inputs.backend_error, "correct it; it is tried again")
    if inputs.key_error:
        cure = "correct the file; or move it away, and flanpyd makes a new key"
        return bad(kind, "KeyUnusable", inputs.key_error, cure)
    if last is None or (last.decision.desired is None and not last.error):
        narrow = choice.narrow(last.world) if last is not None else None
        if narrow is not None and last is not None and last.world.network and not last.world.network.network:
            return bad(kind, "TooNarrow", str(narrow), narrow.cure)
        return unknown(kind, "Waiting", "lease, network config or underlay are not there yet")
    if last.error:
        return bad(kind, "KernelUnreadable", last.error, "it is tried again; see the log")
    if trouble := _backend_failed(last) or _backend_taken(last):
        return trouble
    return _standing(inputs, last)


def _standing(inputs: Inputs, last: Pass) -> Condition:
    """The backend once all that it makes on this host stands."""
    kind = ConditionType.BACKEND_READY
    if _knows_no_peer(inputs):
        cure = "see what stands below flanpyctl subnets in etcd; the listing is tried again without end"
        message = f"etcd answers, but has not listed the leases since this host's start: {inputs.store.error}"
        return bad(kind, "NoPeersKnown", message, cure)
    if last.world.former is not None:
        return good(kind, "Moving", _moving(last, last.world.former))
    if not stands(last.world):
        return unknown(
            kind, "NoCloudRoute", "the cloud provider has no route to this host yet: see CloudRoutes"
        )
    return good(kind, "Programmed", f"{plural(len(last.decision.desired or ()), 'object')} in place")


def _knows_no_peer(inputs: Inputs) -> bool:
    """Report whether a host began with an empty kernel, and etcd, which is there, does not tell it of any peer.

    While etcd is away a host boots with its subnet alone, for its own containers.
    """
    last, store = inputs.last, inputs.store
    if last is None or last.world.view.in_sync or not (store.answers and store.error):
        return False
    return not any(op.obj.destinations for op in last.decision.difference.deletes)


def _backend_failed(last: Pass) -> Condition | None:
    kind = ConditionType.BACKEND_READY
    # An offload that cannot be switched costs throughput at most: ChecksumOffload tells of it.
    failed = [
        f
        for f in last.failures
        if f.op.obj.phase <= PutOrder.TUNNEL and not isinstance(f.op.obj, LinkFeature)
    ]
    if not failed:
        return None
    error = failed[0].error
    if error.errno == EADDRINUSE and isinstance(failed[0].op.obj, WgDevice | LinkUp):
        return bad(kind, "PortTaken", str(error), _PORT_CURE)
    if failed[0].op.obj.phase is not PutOrder.TUNNEL:
        return bad(kind, "LinkFailed", str(error), _link_cure(failed[0]))
    cure = _TUNNEL_CURES.get(error.errno, "it is tried again; see the log")
    if error.errno == EADDRINUSE:
        return bad(kind, "PortTaken", str(error), cure)
    return bad(kind, "DataPlaneFailed", str(error), cure)


def _backend_taken(last: Pass) -> Condition | None:
    kind = ConditionType.BACKEND_READY
    taken = [c for c in last.decision.difference.conflicts if c.wanted.phase <= PutOrder.LINK_UP]
    if not taken:
        return None
    if isinstance(taken[0].wanted, TunLink) and _is_fleeting(taken[0].found):
        message = f"{taken[0].wanted.name} is the TUN device of a program that runs, as flanneld's is"
        return bad(kind, "TunnelTaken", message, "stop flanneld: its tunnel is then taken over at once")
    return bad(kind, "LinkTaken", whose(taken[0].found), "remove or rename the foreign link")


def _is_fleeting(found: KernelObject) -> bool:
    """Report whether this link ends with the program that has it open: a persistent TUN device is read as a TunLink."""
    return isinstance(found, OtherLink) and found.kind == "tun"


def _moving(last: Pass, former: Former) -> str:
    """Return a sentence on the former backend that is kept, and the leases it is kept for."""
    name = former.network.backend_type
    users = [p for p in last.admission.peers if p.record.backend_type == lease_type(name)]
    names = HostNames.among(last.world.view.leases.values())
    named = ", ".join(names.of(user) or str(user.key) for user in users[:BRIEF])
    more = f" and {len(users) - BRIEF} more" if len(users) > BRIEF else ""
    users_of_it = f"for the leases of {named}{more}, which still say so" if users else "for packets under way"
    return f"moving from {name}: it is kept {users_of_it}"


def peers(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.PEERS_PROGRAMMED, inputs.last
    if last is None or last.decision.desired is None or not last.world.view.in_sync:
        return unknown(kind, "NotListed", "the leases of the other hosts were not listed yet")
    failed = [f for f in last.failures if PutOrder.TUNNEL < f.op.obj.phase <= PutOrder.ROUTE]
    if failed:
        message = f"{plural(len(failed), 'operation')} failed, the first: {failed[0].error}"
        return bad(kind, "Failed", message, _cure(failed[0].error))
    if last.unreached and last.world.network is not None:
        return bad(kind, "NoWay", _no_way(last), backend_for(last.world.network.backend_type).cure)
    return good(kind, "Programmed", plural(len(last.admission.peers), "peer"))


def _no_way(last: Pass) -> str:
    """Return a sentence on the peers that the backend cannot reach from here, with the reasons (P18)."""
    way_of = choice.ways(last.world)
    names = HostNames.among(last.world.view.leases.values())
    named = [f"{names.of(lease) or lease.key}: {way_of(lease).reason}" for lease in last.unreached[:BRIEF]]
    more = f" and {len(last.unreached) - BRIEF} more" if len(last.unreached) > BRIEF else ""
    count = f"{len(last.unreached)} of {plural(len(last.admission.peers), 'peer')}"
    return f"{count} cannot be reached: {'; '.join(named)}{more}"


def _link_cure(failure: OpFailure) -> str:
    if failure.error.errno != EOPNOTSUPP:
        return _cure(failure.error)
    what, module = _MODULES.get(type(failure.op.obj), ("VXLAN", "vxlan"))
    return f"this kernel has no {what}: load the module {module} (modprobe {module}), or boot a kernel that has it"


def _cure(error: KernelError) -> str:
    return _CURES.get(error.errno, "it is tried again; see flanpyctl diff")
