"""Judges the inputs: one pure function for each condition, then readiness and phase from the conditions alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from errno import EADDRINUSE, EOPNOTSUPP, EPERM

from flanpy.backend import choice
from flanpy.backend.filtering import filter_flavour
from flanpy.backend.registry import backend_for
from flanpy.errors import KernelError
from flanpy.model.condition import Condition, ConditionType, Status
from flanpy.model.objects import HostSysctl, KernelObject, OtherLink, TunLink, VxlanLink
from flanpy.model.objects import Phase as ObjectPhase
from flanpy.model.packet_filter import FilterChain, FilterChoice, FilterJump
from flanpy.model.world import Former
from flanpy.plan.admission import lease_type
from flanpy.plan.render import describe
from flanpy.reconcile.loop import Pass
from flanpy.status.inputs import Inputs, OwnSource


class Phase(Enum):
    """What the daemon is about, computed from conditions, never stored."""

    STARTING = "STARTING"
    LISTING = "LISTING"
    ACQUIRING = "ACQUIRING"
    SYNCING = "SYNCING"
    READY = "READY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"


NEEDED_TO_BE_READY = (
    ConditionType.LEASE_VALID,
    ConditionType.LEASE_CONFLICT,
    ConditionType.UNDERLAY_READY,
    ConditionType.BACKEND_READY,
    ConditionType.FORWARDING_ENABLED,
    ConditionType.SUBNET_FILE_WRITTEN,
)
"""Ready means: containers of this host can use the overlay now. Neither an etcd outage nor a config that cannot be read
changes that, as the last good one stays in force (without any there is no backend); a subnet that peers send elsewhere
does."""

_BRIEF = 3
"""How many offenders a message names before it only counts."""


def judge(inputs: Inputs, now: float, before: Iterable[Condition] = ()) -> tuple[Condition, ...]:
    """All conditions. `now` is wall time in seconds; `since` is kept from `before` where nothing changed."""
    known = {condition.type: condition for condition in before}
    return tuple(_since(rule(inputs, now), known, now) for rule in _RULES)


def is_ready(conditions: Iterable[Condition]) -> bool:
    needed = {c.type: c.healthy for c in conditions if c.type in NEEDED_TO_BE_READY}
    return len(needed) == len(NEEDED_TO_BE_READY) and all(needed.values())


def phase_of(conditions: Iterable[Condition], inputs: Inputs) -> Phase:
    """The phase, by the first thing that is still missing."""
    by_type = {condition.type: condition for condition in conditions}
    if inputs.stopping:
        return Phase.STOPPING
    if not is_ready(by_type.values()):
        if inputs.own.lease is not None:
            return (
                Phase.SYNCING
                if inputs.last is None or inputs.last.decision.desired is None
                else Phase.DEGRADED
            )
        if not inputs.store.contacted:
            return Phase.STARTING
        return Phase.LISTING if inputs.network is None else Phase.ACQUIRING
    return Phase.READY if all(condition.healthy for condition in by_type.values()) else Phase.DEGRADED


def _since(condition: Condition, known: dict[ConditionType, Condition], now: float) -> Condition:
    old = known.get(condition.type)
    same = old is not None and (old.status, old.reason) == (condition.status, condition.reason)
    return replace(condition, since=old.since if same and old is not None else now)


def _good(kind: ConditionType, reason: str, message: str, *, status: Status = Status.TRUE) -> Condition:
    return Condition(kind, status, reason, message, healthy=True)


def _bad(
    kind: ConditionType, reason: str, message: str, cure: str = "", *, status: Status = Status.FALSE
) -> Condition:
    return Condition(kind, status, reason, message, healthy=False, cure=cure)


def _unknown(kind: ConditionType, reason: str, message: str) -> Condition:
    return Condition(kind, Status.UNKNOWN, reason, message, healthy=False)


def _datastore(inputs: Inputs, _now: float) -> Condition:
    kind, store = ConditionType.DATASTORE_REACHABLE, inputs.store
    if not store.contacted and not store.error:
        return _unknown(kind, "NotContacted", "no answer from etcd yet since start")
    if store.stale or store.error:
        cure = "check etcd and the way to it; forwarding goes on with what was last heard"
        return _bad(kind, "Unreachable", store.error or "the watch is lost", cure)
    return _good(kind, "Connected", f"following {store.endpoint}")


def _network(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.NETWORK_CONFIG_VALID
    if inputs.network_error:
        return _bad(kind, "Invalid", inputs.network_error, "correct it with: flanpyctl network set")
    if inputs.network is None:
        return _unknown(kind, "NotRead", "the network config was not read yet")
    message = "; ".join(inputs.network.warnings) or f"backend {inputs.network.backend_type}"
    return _good(kind, "Valid", message)


def _lease(inputs: Inputs, now: float) -> Condition:
    kind, own = ConditionType.LEASE_VALID, inputs.own
    if own.lease is None:
        return _bad(kind, "NotHeld", own.waiting or "no subnet is leased yet")
    if own.yielded:
        return _bad(kind, "Lost", f"{own.lease.key} is another node's now: see LeaseConflict")
    if own.expires_at is not None and own.expires_at <= now:
        cure = "bring etcd back: another node may be given the subnet from now on"
        return _bad(kind, "Expired", f"the lease of {own.lease.key} has expired", cure)
    if own.source is OwnSource.DISK:
        return _good(kind, "FromDisk", f"{own.lease.key} from the last run; etcd has not confirmed it yet")
    reason = "Reserved" if own.lease.is_reservation else "Leased"
    return _good(kind, reason, f"{own.lease.key} is ours")


def _conflict(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.LEASE_CONFLICT
    if inputs.own.conflict:
        cure = "see flanpyctl subnets; drain one of the two nodes"
        return _bad(kind, "OwnedByAnother", inputs.own.conflict, cure, status=Status.TRUE)
    return _good(kind, "None", "no other node claims our subnet", status=Status.FALSE)


def _duplicate(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.DUPLICATE_PUBLIC_IP
    if inputs.own.duplicate_ip:
        cure = "give each host its own address, or set --public-ip or --iface"
        return _bad(kind, "SharedAddress", inputs.own.duplicate_ip, cure, status=Status.TRUE)
    return _good(kind, "None", "no other node advertises our public IP", status=Status.FALSE)


def _underlay(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.UNDERLAY_READY
    facts = inputs.last.world.facts if inputs.last else None
    if facts is None or (facts.underlay is None and not facts.problem):
        return _unknown(kind, "NotRead", "the links of this host were not read yet")
    if facts.underlay is None:
        return _bad(kind, "NoLink", facts.problem, "see --iface, --iface-regex, --iface-can-reach")
    return _good(kind, "Chosen", facts.underlay.reason)


def _whose(found: KernelObject) -> str:
    """A foreign object, and by what it is not ours."""
    match found:
        case VxlanLink(name=name, vni=vni, port=port, alias=alias):
            marked = f"marked {alias!r}" if alias else "unmarked"
            return f"{name} is another's VXLAN device (VNI {vni}, UDP port {port}, {marked})"
        case TunLink(name=name, alias=alias):
            marked = f"marked {alias!r}" if alias else "unmarked"
            return f"{name} is another's TUN device ({marked})"
        case OtherLink(name=name, kind=kind):
            return f"{name} is another's link of kind {kind}"
        case _:
            return describe(found)


_CURES = {
    EPERM: "give flanpyd the capability CAP_NET_ADMIN, or run it as root",
    EOPNOTSUPP: "this kernel has no VXLAN: load the module vxlan, or boot a kernel that has it",
}

_TUNNEL_CURES = {
    EADDRINUSE: "end what holds the port (ss -ulpn), or choose another with Backend.Port; ours follows",
    EOPNOTSUPP: "set udp-plane to auto or user, or give flanpyd CAP_BPF on a kernel that has eBPF",
}


def _cure(error: KernelError) -> str:
    return _CURES.get(error.errno, "it is tried again; see flanpyctl diff")


def _backend(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.BACKEND_READY, inputs.last
    if inputs.backend_error:
        return _bad(kind, "CommandFailed", inputs.backend_error, "correct it; it is tried again")
    if last is None or (last.decision.desired is None and not last.error):
        return _unknown(kind, "Waiting", "lease, network config or underlay are not there yet")
    if last.error:
        return _bad(kind, "KernelUnreadable", last.error, "it is tried again; see the log")
    failed = [f for f in last.failures if f.op.obj.phase <= ObjectPhase.TUNNEL]
    if failed and failed[0].op.obj.phase is ObjectPhase.TUNNEL:
        cure = _TUNNEL_CURES.get(failed[0].error.errno, "it is tried again; see the log")
        return _bad(kind, "DataPlaneFailed", str(failed[0].error), cure)
    if failed:
        return _bad(kind, "LinkFailed", str(failed[0].error), _cure(failed[0].error))
    taken = [c for c in last.decision.difference.conflicts if c.wanted.phase <= ObjectPhase.LINK_UP]
    if taken:
        return _bad(kind, "LinkTaken", _whose(taken[0].found), "remove or rename the foreign link")
    if last.world.former is not None:
        return _good(kind, "Moving", _moving(last, last.world.former))
    return _good(kind, "Programmed", f"{len(last.decision.desired or ())} objects stand")


def _moving(last: Pass, former: Former) -> str:
    """What is kept of the backend that the network had, and for whom."""
    name = former.network.backend_type
    users = [p for p in last.admission.peers if p.record.backend_type == lease_type(name)]
    named = ", ".join(user.record.node_id or str(user.key) for user in users[:_BRIEF])
    more = f" and {len(users) - _BRIEF} more" if len(users) > _BRIEF else ""
    whom = f"for the leases of {named}{more}, which still say so" if users else "for packets under way"
    return f"moving from {name}: it is kept {whom}"


def _peers(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.PEERS_PROGRAMMED, inputs.last
    if last is None or last.decision.desired is None or not last.world.view.in_sync:
        return _unknown(kind, "NotListed", "the leases of the other hosts were not listed yet")
    failed = [f for f in last.failures if ObjectPhase.TUNNEL < f.op.obj.phase <= ObjectPhase.ROUTE]
    if failed:
        message = f"{len(failed)} operations failed, the first: {failed[0].error}"
        return _bad(kind, "Failed", message, _cure(failed[0].error))
    if last.unreached and last.world.network is not None:
        return _bad(kind, "NoWay", _no_way(last), backend_for(last.world.network.backend_type).cure)
    return _good(kind, "Programmed", f"{len(last.admission.peers)} peers")


def _no_way(last: Pass) -> str:
    """Which peers the backend cannot reach from here, and what stands in between (P18)."""
    way_of = choice.ways(last.world)
    named = [
        f"{lease.record.node_id or lease.key}: {way_of(lease).reason}" for lease in last.unreached[:_BRIEF]
    ]
    more = f" and {len(last.unreached) - _BRIEF} more" if len(last.unreached) > _BRIEF else ""
    count = f"{len(last.unreached)} of {len(last.admission.peers)} peers"
    return f"{count} cannot be reached: {'; '.join(named)}{more}"


def _peer_leases(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.PEER_LEASES_VALID, inputs.last
    if last is None:
        return _good(kind, "None", "no leases yet")
    offences = [f"{i.key}: {i.reason}" for i in last.world.view.invalid]
    offences += [f"{r.lease.key}: {r.message}" for r in last.admission.rejected]
    if not offences:
        return _good(kind, "Valid", "every lease can be used")
    more = f" and {len(offences) - _BRIEF} more" if len(offences) > _BRIEF else ""
    cure = "see flanpyctl subnets; flanpyctl subnets release removes a key"
    return _bad(kind, "Unusable", "; ".join(offences[:_BRIEF]) + more, cure)


def _mass_delete(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.MASS_DELETE_HELD
    hold = inputs.last.decision.hold if inputs.last else None
    if hold is None:
        return _good(kind, "None", "nothing is held", status=Status.FALSE)
    message = f"{hold.peers} of {hold.present} peers vanished at once; waiting for a second listing to agree"
    return _bad(kind, "Held", message, "if this was meant, do nothing", status=Status.TRUE)


def _foreign(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.FOREIGN_CONFLICT
    conflicts = inputs.last.decision.difference.conflicts if inputs.last else ()
    if not conflicts:
        return _good(kind, "None", "nobody else uses what we need", status=Status.FALSE)
    message = (
        f"{len(conflicts)} foreign objects stand where ours should, the first: {_whose(conflicts[0].found)}"
    )
    return _bad(
        kind, "Foreign", message, "remove the foreign object; ours follows at once", status=Status.TRUE
    )


def _forwarding(inputs: Inputs, _now: float) -> Condition:
    kind, last = ConditionType.FORWARDING_ENABLED, inputs.last
    if last is None or last.decision.desired is None:
        return _unknown(kind, "NotRead", "not looked at before the backend is planned")
    failed = [f for f in last.failures if isinstance(f.op.obj, HostSysctl)]
    if failed:
        return _bad(kind, "Refused", str(failed[0].error), f"run: {describe(failed[0].op.obj)}")
    if any(isinstance(obj, HostSysctl) for obj in last.decision.desired.values()):
        return _good(kind, "On", "the host forwards")
    return _good(
        kind, "NotNeeded", "no bridge has an address in our subnet yet, so there is nothing to forward"
    )


def _subnet_file(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.SUBNET_FILE_WRITTEN
    if inputs.subnet_file_error:
        return _bad(kind, "WriteFailed", inputs.subnet_file_error, "make room or correct --subnet-file")
    if not inputs.subnet_file:
        return _unknown(kind, "NotWritten", "not written before a subnet is leased")
    return _good(kind, "Written", inputs.subnet_file)


def _lease_file(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.LEASE_SAVED
    if inputs.lease_file_error:
        cure = "make room or correct --state-dir; a boot without etcd would have no subnet"
        return _bad(kind, "WriteFailed", inputs.lease_file_error, cure)
    if not inputs.lease_file:
        return _good(kind, "None", "no lease to save yet")
    return _good(kind, "Saved", inputs.lease_file)


def _listeners(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.LISTENERS_UP
    if inputs.listeners_error:
        cure = "end what holds the address, or choose another; it is tried again"
        return _bad(kind, "CannotListen", inputs.listeners_error, cure)
    if inputs.listeners is None:
        return _good(kind, "NotTried", "the first peers are programmed before anybody is answered")
    return _good(kind, "Listening", inputs.listeners)


def _restart(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.RESTART_NEEDED
    pending = "; ".join(filter(None, (inputs.pending_settings, inputs.pending_network, inputs.pending_lease)))
    if pending:
        return _bad(kind, "ConfigChanged", pending, "restart flanpyd", status=Status.TRUE)
    return _good(kind, "None", "everything set is in force", status=Status.FALSE)


def _docker(inputs: Inputs, now: float) -> Condition:
    """Judged where it was looked at (`docker.verdict`); only here it is known whether our packet filter stands."""
    kind, report = ConditionType.DOCKER_CONSISTENT, inputs.docker
    if report is None:
        return _good(kind, "NotRead", "Docker was not looked at yet", status=Status.UNKNOWN)
    filtering = _firewall(inputs, now)
    if report.condition.status is Status.TRUE and report.needs_accepts and not filtering.healthy:
        text = f"Docker drops what reaches containers over the overlay, and our rules do not stand: {filtering.message}"
        return _bad(kind, "EngineDropsUs", text, filtering.cure)
    return report.condition


def _firewall(inputs: Inputs, _now: float) -> Condition:
    """Not needed to be ready: most hosts forward without any rule, and those that do not say so in packets lost."""
    kind, last = ConditionType.FIREWALL_READY, inputs.last
    facts = last.world.filter if last is not None else None
    if last is None or facts is None or last.decision.desired is None:
        return _good(kind, "NotRead", "not looked at before the backend is planned", status=Status.UNKNOWN)
    if facts.problem:
        return _bad(kind, "Unreadable", facts.problem, _filter_cure(facts.problem))
    failed = [f for f in last.failures if isinstance(f.op.obj, FilterChain | FilterJump)]
    if failed:
        return _bad(kind, "Failed", str(failed[0].error), _filter_cure(str(failed[0].error)))
    policy, flavour = last.world.policy.filter, filter_flavour(last.world)
    if policy.choice is FilterChoice.OFF:
        return _good(kind, "Off", "filter-backend is off: the rules are the operator's")
    if flavour is None:
        missing = "neither nft nor iptables is" if not facts.tools else f"{policy.choice.value} is not"
        cure = "install nftables or iptables, or set filter-backend"
        return _bad(kind, "NoTool", f"{missing} installed: no packet filter rules", cure)
    docker = " with Docker's" if flavour in facts.docker_flavours else ""
    return _good(kind, "Programmed", f"rules stand in {flavour.value}{docker}")


def _reachable(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.PEERS_REACHABLE
    return _good(kind, "NotProbed", "no peer was probed yet", status=Status.UNKNOWN)


def _mtu(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.MTU_CONSISTENT
    return _good(kind, "NotProbed", "no path was measured yet", status=Status.UNKNOWN)


def _neighbours(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.NEIGHBOURS_FIT
    return _good(kind, "NotRead", "not looked at yet", status=Status.UNKNOWN)


def _subnets(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.SUBNETS_AVAILABLE
    return _good(kind, "NotRead", "not looked at yet", status=Status.UNKNOWN)


def _tuned(inputs: Inputs, _now: float) -> Condition:
    kind = ConditionType.HOST_TUNED
    return _good(kind, "NotRead", "not looked at yet", status=Status.UNKNOWN)


def _filter_cure(said: str) -> str:
    for word, cure in _FILTER_CURES:
        if word in said:
            return cure
    return "it is tried again; see flanpyctl diff"


_FILTER_CURES = (
    (
        "xtables.lock",
        "let flanpyd open it (tmpfiles.d: 'f /run/xtables.lock 0660 root <its group>'), or use nftables",
    ),
    (
        "ermission denied",
        "give flanpyd CAP_NET_ADMIN, with iptables-legacy CAP_NET_RAW too, or run it as root",
    ),
    ("peration not permitted", "give flanpyd CAP_NET_ADMIN, or run it as root"),
    ("not installed", "install it, or set filter-backend"),
    ("did not stay", "find who removes it: 'nft monitor' names the process"),
    ("incompatible", "move the rules that iptables does not know to a table of their own"),
)

_RULES: tuple[Callable[[Inputs, float], Condition], ...] = (
    _datastore,
    _network,
    _lease,
    _conflict,
    _duplicate,
    _underlay,
    _backend,
    _peers,
    _peer_leases,
    _mass_delete,
    _foreign,
    _forwarding,
    _subnet_file,
    _lease_file,
    _listeners,
    _restart,
    _docker,
    _firewall,
    _reachable,
    _mtu,
    _neighbours,
    _subnets,
    _tuned,
)
